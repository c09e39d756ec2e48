//! What the documents show as YAML is a manifest that `apply` takes, whole: whoever copies it has no key to guess.

use std::path::{Path, PathBuf};

use super::*;

/// The documents: the README and every page below `docs`.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the checkout can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The YAML blocks of a page, each with the line at which it begins.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match &mut open {
            None if line.starts_with("```yaml") => open = Some((number + 2, String::new())),
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    blocks
}

#[test]
fn every_manifest_that_the_documents_show_is_taken() {
    let (mut shown, mut wrong) = (0, Vec::new());
    for path in pages() {
        let page = std::fs::read_to_string(&path).expect("a page is text");
        for (line, text) in blocks(&page) {
            shown += 1;
            if let Err(error) = yaml(&text) {
                wrong.push(format!("{}, the block at line {line}: {error}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(shown >= 7, "the blocks were found: {shown}");
}

#[test]
fn a_block_is_found_with_its_line() {
    let page = "text\n```yaml\na: 1\nb: 2\n```\n```toml\nc = 3\n```\n";
    assert_eq!(blocks(page), [(3, "a: 1\nb: 2\n".to_owned())]);
}
