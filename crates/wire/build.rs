//! Compiles `proto/` with protox, so that nobody needs protoc, and keeps the descriptors for gRPC reflection.

use std::path::{Path, PathBuf};

use prost::Message as _;

const FILES: [&str; 2] = ["holdfast/v1", "holdfast/internal/v1"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in FILES {
        for entry in std::fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "proto") {
                files.push(path);
            }
        }
    }
    files.sort();
    let descriptors = protox::compile(&files, [root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".holdfast.internal.v1.PeerMessage")
        .bytes(".holdfast.internal.v1.SnapshotFrame")
        .bytes(".holdfast.internal.v1.PeerReply")
        .compile_fds(descriptors)?;
    Ok(())
}
