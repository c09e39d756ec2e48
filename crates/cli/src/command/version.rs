//! `holdfast version`.

use serde_json::json;

use crate::exit::Exit;
use crate::output::Page;
use crate::session::{Outcome, Session};

/// Prints the version.
pub(crate) fn run(session: &Session) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    let data = json!({ "version": version, "api": "holdfast.v1", "os": std::env::consts::OS, "arch": std::env::consts::ARCH });
    let page = Page::line(data, format!("holdfast {version} (api holdfast.v1)"));
    session.out.page(&page)?;
    Ok(Exit::Success)
}
