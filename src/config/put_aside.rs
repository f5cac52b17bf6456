//! Directories for archived and rejected files that another drop directory would scan.

use std::collections::HashMap;
use std::path::Path;

use crate::config::error::DroppedAgain;
use crate::config::{Contradiction, DropDir};

/// Returns a contradiction for each archive and each directory `rejects` in which another drop
/// directory finds files. Two drop directories that archive into each other would never end.
pub(super) fn dropped_again(drop_dirs: &[DropDir]) -> Vec<Contradiction> {
    let by_path: HashMap<&Path, &DropDir> =
        drop_dirs.iter().map(|it| (it.path.as_path(), it)).collect();
    let mut found = Vec::new();
    for drop_dir in drop_dirs {
        for (key, dir) in [("archive", &drop_dir.archive), ("rejects", &drop_dir.rejects)] {
            let Some(dir) = dir else { continue };
            let above = dir.ancestors().filter_map(|above| by_path.get(above));
            let others = above.filter(|it| it.path != drop_dir.path);
            let seen_by = others.copied().find_map(|it| Some((it, path_in_scan(it, dir)?)));
            let Some((seen_by, rel)) = seen_by else { continue };
            let ignore = format!("add \"/{}/\" to its `ignore`", rel.display());
            found.push(Contradiction::DroppedAgain(Box::new(DroppedAgain {
                key,
                dir: dir.clone(),
                path: drop_dir.path.clone(),
                seen_by: seen_by.path.clone(),
                remedy: if rel.as_os_str().is_empty() {
                    "choose another directory".into()
                } else {
                    format!("choose another directory, or {ignore}")
                },
            })));
        }
    }
    found
}

/// Returns the path of a directory below a drop directory if npyd scans it as a part of that.
fn path_in_scan<'a>(drop_dir: &DropDir, dir: &'a Path) -> Option<&'a Path> {
    let rel = dir.strip_prefix(&drop_dir.path).ok()?;
    let is_entered = rel.as_os_str().is_empty()
        || drop_dir.recursive
            && drop_dir.ignore.reason(rel, true).is_none()
            && !drop_dir.managed_dirs().any(|own| dir.starts_with(own) && own != drop_dir.path);
    is_entered.then_some(rel)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    /// Returns the message about a configuration with these drop directories, each with further
    /// keys, or an empty text.
    fn message(drops: &[(&str, &str)]) -> String {
        let table = |(path, keys): &(&str, &str)| format!("[[drop]]\npath = '{path}'\n{keys}\n");
        let text: String = drops.iter().map(table).collect();
        let parsed = Config::parse(&text, Path::new("npyd.toml"), Path::new("/etc"));
        parsed.err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn archived(dir: &str) -> String {
        format!("source = 'archive'\narchive = '{dir}'")
    }

    #[test]
    fn an_archive_that_is_scanned() {
        for (archive, other, is_refused) in [
            ("/b", "", true),
            ("/b/raw", "", false),
            ("/b/raw", "recursive = true", true),
            ("/b/raw", "recursive = true\nignore = ['/raw/']", false),
            ("/b/raw/a", "recursive = true\nignore = ['/raw/']", false),
            ("/b/.raw", "recursive = true", false),
            ("/b/raw", "recursive = true\nrejects = '/b/raw'", false),
            ("/b/raw/a", "recursive = true\noutput = '/b/raw'", false),
            ("/b-raw", "recursive = true", false),
            ("/raw", "source = 'archive'\narchive = '/raw'", false),
        ] {
            let found = message(&[("/a", &archived(archive)), ("/b", other)]);
            assert_eq!(!found.is_empty(), is_refused, "{archive} {other}: {found}");
            let found = message(&[("/b", other), ("/a", &format!("rejects = '{archive}'"))]);
            assert_eq!(!found.is_empty(), is_refused, "{archive} {other}: {found}");
        }
        // Its own archive is known to each drop directory.
        assert_eq!(message(&[("/a", &format!("recursive = true\n{}", archived("/a/raw")))]), "");
    }

    #[test]
    fn archives_in_a_circle() {
        let found = message(&[("/a", &archived("/b")), ("/b", &archived("/a"))]);
        assert_eq!(found.lines().count(), 2, "{found}");
        assert!(
            found.contains("archive `/b` of the drop `/a` is itself a drop directory"),
            "{found}"
        );
        assert!(found.contains("choose another directory"), "{found}");
        let found = message(&[
            ("/a", &format!("recursive = true\n{}", archived("/b/of-a"))),
            ("/b", &format!("recursive = true\n{}", archived("/a/of-b"))),
        ]);
        assert_eq!(found.lines().count(), 2, "{found}");
        assert!(found.contains("inside the recursive drop `/b`"), "{found}");
        assert!(found.contains("or add \"/of-a/\" to its `ignore`"), "{found}");
    }
}
