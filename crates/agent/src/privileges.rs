//! Lets go of root once the privileged ports are open.
//!
//! ```text
//! root: read the configuration ▶ make the data directory ▶ bind port 53 ▶ assume() ▶ everything else, as the account
//! ```
//!
//! Without `node.user` nothing changes: a service manager that starts the agent as its own user, with
//! `CAP_NET_BIND_SERVICE`, is the better way where there is one.
//!
//! Invariant: after [`Account::assume`] no thread of the process has an id, a group or a capability of root, and none can
//! get one back; or the agent does not run.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{
    Gid, Group, Uid, User, geteuid, getresgid, getresuid, initgroups, setresgid, setresuid,
};

/// Why an account cannot be assumed.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The account does not exist.
    #[error("node.user: there is no user {0}; create it, such as with `useradd --system {0}`")]
    NoUser(String),
    /// The group does not exist.
    #[error("node.group: there is no group {0}; create it, such as with `groupadd --system {0}`")]
    NoGroup(String),
    /// The account is root's.
    #[error("node.user: {0} is root itself; name an account without privileges")]
    Root(String),
    /// Only root can become another.
    #[error(
        "node.user: this process runs as user id {uid} and cannot become {user}; start it as root, or leave \
         node.user out and give the binary the capability CAP_NET_BIND_SERVICE"
    )]
    NotRoot {
        /// The account.
        user: String,
        /// Who runs.
        uid: Uid,
    },
    /// The system refused a step.
    #[error("node.user: cannot become {user}: {step}: {source}")]
    System {
        /// The account.
        user: String,
        /// The step.
        step: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Some privilege is left.
    #[error(
        "node.user: root's privileges are not gone after becoming {user}: {left}; the agent does not run like this, \
         start it as {user} instead"
    )]
    Left {
        /// The account.
        user: String,
        /// What is left.
        left: String,
    },
}

/// Whom the agent runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// Looks the names up; the group is the user's own where none is named. Errors: they do not exist, or are root's.
    pub(crate) fn find(user: &str, group: Option<&str>) -> Result<Self, PrivilegeError> {
        let refused = |step| move |source| Self::refused(user, step, source);
        let found = User::from_name(user).map_err(refused("look the user up"))?;
        let found = found.ok_or_else(|| PrivilegeError::NoUser(user.to_owned()))?;
        let gid = match group {
            None => found.gid,
            Some(name) => Group::from_name(name)
                .map_err(refused("look the group up"))?
                .map(|group| group.gid)
                .ok_or_else(|| PrivilegeError::NoGroup(name.to_owned()))?,
        };
        if found.uid.is_root() || gid.as_raw() == 0 {
            return Err(PrivilegeError::Root(user.to_owned()));
        }
        Ok(Self { name: user.to_owned(), uid: found.uid, gid })
    }

    /// Its user id.
    pub(crate) fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Makes a directory that is the account's, if there is none. Errors: it cannot be made or given away.
    pub(crate) fn make_dir(&self, path: &Path) -> Result<(), PrivilegeError> {
        let refused = |source| PrivilegeError::System {
            user: self.name.clone(),
            step: "make node.data_dir",
            source,
        };
        if path.exists() || !geteuid().is_root() {
            return Ok(());
        }
        fs::create_dir_all(path).map_err(refused)?;
        chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw())).map_err(refused)
    }

    /// Becomes the account, for good and with every thread. Errors: it is not possible, or something of root is left;
    /// the process must end then.
    pub(crate) fn assume(&self) -> Result<(), PrivilegeError> {
        if self.is_ours() {
            return Ok(());
        }
        if !geteuid().is_root() {
            return Err(PrivilegeError::NotRoot { user: self.name.clone(), uid: geteuid() });
        }
        let refused = |step| move |errno| Self::refused(&self.name, step, errno);
        let name = CString::new(self.name.as_str()).map_err(|error| PrivilegeError::System {
            user: self.name.clone(),
            step: "initgroups",
            source: error.into(),
        })?;
        // The groups first, the user last: each step needs what the next one gives away. libc takes all threads along.
        initgroups(&name, self.gid).map_err(refused("initgroups"))?;
        setresgid(self.gid, self.gid, self.gid).map_err(refused("setresgid"))?;
        setresuid(self.uid, self.uid, self.uid).map_err(refused("setresuid"))?;
        self.check_gone()
    }

    fn refused(user: &str, step: &'static str, errno: Errno) -> PrivilegeError {
        PrivilegeError::System { user: user.to_owned(), step, source: errno.into() }
    }

    fn is_ours(&self) -> bool {
        let users = getresuid().map(|ids| [ids.real, ids.effective, ids.saved]);
        let groups = getresgid().map(|ids| [ids.real, ids.effective, ids.saved]);
        users == Ok([self.uid; 3]) && groups == Ok([self.gid; 3])
    }

    fn check_gone(&self) -> Result<(), PrivilegeError> {
        let left = |left: String| PrivilegeError::Left { user: self.name.clone(), left };
        if !self.is_ours() {
            return Err(left("the process has other ids".to_owned()));
        }
        if setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
            return Err(left("it can become root again".to_owned()));
        }
        let unseen = |error: io::Error| left(format!("/proc/self/task cannot be read: {error}"));
        for thread in fs::read_dir("/proc/self/task").map_err(unseen)? {
            let status = thread.and_then(|thread| fs::read_to_string(thread.path().join("status")));
            match status {
                Ok(status) => self.check_thread(&status).map_err(left)?,
                // A thread that has ended since has no privileges.
                Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unseen(error)),
            }
        }
        Ok(())
    }

    /// Looks at `/proc/self/task/*/status`. Errors: the line that tells of a privilege.
    fn check_thread(&self, status: &str) -> Result<(), String> {
        for line in status.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let mut values = value.split_whitespace();
            let clean = match key {
                "Uid" => values.all(|id| id == self.uid.to_string()),
                "Gid" => values.all(|id| id == self.gid.to_string()),
                "Groups" => values.all(|id| id != "0"),
                "CapPrm" | "CapEff" | "CapAmb" => values.all(|set| set.bytes().all(|b| b == b'0')),
                _ => true,
            };
            if !clean {
                return Err(format!("a thread has {}", line.replace('\t', " ")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_before_anything_is_opened() {
        let account = Account::find("nobody", None).expect("every system has it");
        assert!(!account.uid.is_root());
        let told = |user, group| Account::find(user, group).expect_err("refused").to_string();
        assert!(told("no-such-user", None).contains("useradd --system no-such-user"));
        assert!(told("nobody", Some("no-such-group")).contains("groupadd --system"));
        assert!(told("root", None).contains("root itself"));
        assert!(told("nobody", Some("root")).contains("root itself"));
    }

    #[test]
    fn a_thread_with_anything_of_root_is_found() {
        let account = Account { name: "a".into(), uid: Uid::from_raw(7), gid: Gid::from_raw(8) };
        let status = |uid: &str, groups: &str, caps: &str| {
            format!(
                "Name:\ta\nUid:\t7\t{uid}\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t{groups} \nCapInh:\t0000000000000400\n\
                 CapPrm:\t{caps}\nCapEff:\t0000000000000000\n"
            )
        };
        let none = "0000000000000000";
        assert_eq!(account.check_thread(&status("7", "8 9", none)), Ok(()));
        for (status, line) in [
            (status("0", "8", none), "Uid: 7 0 7 7"),
            (status("7", "0 8", none), "Groups: 0 8"),
            (status("7", "8", "0000000000000400"), "CapPrm: 0000000000000400"),
        ] {
            let error = account.check_thread(&status).expect_err("something is left");
            assert!(error.contains(line), "{error}");
        }
    }
}
