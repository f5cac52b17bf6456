//! Checks the rules for the sources: layers, purity, sizes and `unsafe`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines a file may have.
const LINES_MAX: usize = 500;

/// Lines a function may have, with its signature.
const FUNCTION_LINES_MAX: usize = 70;

/// Columns a line may have; more where it holds a message, which is best read in one piece.
const COLUMNS_MAX: usize = 100;
const COLUMNS_MAX_WITH_TEXT: usize = 130;

/// What pure layers never name: system calls, the environment, the clock, threads. `std::{` is in
/// the list because `use std::{fs, io}` would hide a module; this code has one `use` per module.
const IMPURE: &[&str] = &[
    "std::{",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "libc::",
    "notify::",
    "rustix::",
    "::now(",
    ".elapsed(",
    ".canonicalize(",
    ".exists(",
    ".is_dir(",
    ".is_file(",
    ".metadata(",
    ".read_dir(",
    ".read_link(",
    ".symlink_metadata(",
];

/// Layers that compute from values alone. `facts` also has the process-wide observer.
const PURE: &[&str] = &[
    "crates/npy/src",
    "src/text",
    "src/facts",
    "src/model",
    "src/describe",
    "src/config",
    "src/decide",
];

/// The layers, each with exactly the layers that it uses. All layers may use `npy`, which is a
/// crate of its own and therefore uses no layer.
const LAYERS: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("facts", &[]),
    ("model", &["text"]),
    ("describe", &["text", "model"]),
    ("config", &["text", "model", "describe"]),
    ("decide", &["text", "model", "describe", "config"]),
    ("fs", &["text", "facts", "model"]),
    ("probe", &["model", "describe", "config", "decide", "fs"]),
    ("events", &["text", "facts", "config", "decide"]),
    ("throttle", &["facts", "model", "events"]),
    ("ledger", &["text", "facts", "decide", "events"]),
    ("sinks", &["text", "facts", "decide", "events"]),
    (
        "finalize",
        &[
            "text", "facts", "model", "describe", "config", "decide", "fs", "probe", "events",
            "throttle",
        ],
    ),
    (
        "service",
        &[
            "text", "facts", "model", "describe", "config", "decide", "fs", "probe", "events",
            "throttle", "ledger", "sinks", "finalize",
        ],
    ),
    (
        "cli",
        &[
            "text", "facts", "model", "describe", "config", "decide", "fs", "probe", "events",
            "throttle", "ledger", "sinks", "finalize", "service",
        ],
    ),
];

/// What opens, reads, writes, renames or removes a file.
const FILE_CALLS: &[&str] =
    &["std::fs", "rustix::fs", " File::", "(File::", "OpenOptions", "libc::open", ".read_dir("];

/// What looks up whether a path exists, or where it leads.
const LOOKUPS: &[&str] =
    &[".canonicalize(", ".symlink_metadata(", ".try_exists(", ".read_link(", "rejects.exists("];

/// The sources outside `fs` with such calls, and what the calls are about.
const CALLERS: &[(&str, &[&str], &str)] = &[
    ("src/ledger/", FILE_CALLS, "the ledger"),
    ("src/ledger/", LOOKUPS, "whether there is a ledger"),
    ("src/throttle/psi.rs", FILE_CALLS, "/proc/pressure and control groups"),
    ("src/cli/explain/mod.rs", FILE_CALLS, "the state directory"),
    ("src/cli/limits.rs", FILE_CALLS, "/proc/sys"),
    ("src/cli/log.rs", FILE_CALLS, "standard error"),
    ("src/cli/manifest.rs", FILE_CALLS, "the manifest that the command writes"),
    ("src/cli/mod.rs", FILE_CALLS, "the configuration"),
    ("src/cli/", LOOKUPS, "paths that a command reports"),
    ("src/finalize/rest.rs", LOOKUPS, "whether `rejects` exists"),
];

/// A source file: its path below the repository, and its text.
struct Source {
    path: String,
    text: String,
}

fn sources(dir: &str, extension: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut dirs = vec![root.join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push(Source { path, text });
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {dir}");
    found
}

/// The program and its crates.
fn product() -> impl Iterator<Item = Source> {
    ["src", "crates"].into_iter().flat_map(|dir| sources(dir, "rs"))
}

/// The program, its crates, its tests and its fuzz targets.
fn everything() -> impl Iterator<Item = Source> {
    ["src", "crates", "tests", "fuzz/src", "fuzz/fuzz_targets"]
        .into_iter()
        .flat_map(|dir| sources(dir, "rs"))
}

impl Source {
    /// All lines, each with its number.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// The lines of code, without the unit tests and comments, each with its number.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let count = self.text[..tests].lines().count();
        self.lines().take(count).filter(|(_, line)| !is_comment(line))
    }

    /// The statements that may name modules: the lines of code, where a `use` over several lines is
    /// one statement. Each has the number of its first line.
    fn statements(&self) -> Vec<(usize, String)> {
        let mut statements: Vec<(usize, String)> = Vec::new();
        let mut is_in_use = false;
        for (number, line) in self.code() {
            match statements.last_mut() {
                Some((_, statement)) if is_in_use => statement.push_str(line.trim()),
                _ => statements.push((number, line.to_owned())),
            }
            is_in_use |= line.starts_with("use ") || line.contains(" use ");
            is_in_use &= !line.ends_with(';');
        }
        statements
    }

    /// Fails if this file names one of the modules `others` in the folder `dir`.
    fn uses_none_of<'a>(&self, dir: &str, others: impl IntoIterator<Item = &'a str>) {
        let statements = self.statements();
        for other in others {
            for (number, statement) in &statements {
                let is_used = names_module(statement, dir, other);
                assert!(!is_used, "{}:{number}: this file must not use `{other}`", self.path);
            }
        }
    }

    /// Fails if one of these lines has one of these words.
    fn has_none_of<'a>(&self, words: &[&str], lines: impl Iterator<Item = (usize, &'a str)>) {
        for (number, line) in lines {
            for word in words {
                assert!(!line.contains(word), "{}:{number}: `{word}` has no place here", self.path);
            }
        }
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Whether the line has the keyword `unsafe`.
fn is_unsafe(line: &str) -> bool {
    !is_comment(line) && line.split(|c: char| !c.is_alphanumeric()).any(|word| word == "unsafe")
}

/// Returns whether a statement names a module in the folder `dir`, as in `dir::{Type, module}`,
/// `dir::module::run` and `super::module`.
fn names_module(statement: &str, dir: &str, module: &str) -> bool {
    let in_dir = statement.split_once(&format!("{dir}::")).or(statement.split_once("super::"));
    let names = in_dir.map_or("", |(_, names)| names);
    names.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|name| name == module)
}

/// The name of a source file without its extension.
fn stem(source: &Source) -> &str {
    Path::new(&source.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// The layer that a source file belongs to.
fn layer(path: &str) -> &str {
    path.trim_start_matches("src/").split('/').next().unwrap_or_default()
}

/// The layers that a line of code names, as `crate::layer`.
fn used_layers(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn layers_use_only_layers_below() {
    let mut arrows = BTreeSet::new();
    for source in sources("src", "rs") {
        let own = layer(&source.path);
        if !source.path[4..].contains('/') {
            continue; // lib.rs and main.rs
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == own) else {
            panic!("{}: `{own}` is no layer: add it to LAYERS", source.path);
        };
        for (number, line) in source.code() {
            for used in used_layers(line).filter(|used| *used != own && *used != "npy") {
                assert!(
                    allowed.contains(&used),
                    "{}:{number}: `{own}` must not use `{used}`",
                    source.path
                );
                arrows.insert((own.to_owned(), used.to_owned()));
            }
        }
    }
    for (layer, allowed) in LAYERS {
        for used in *allowed {
            let arrow = ((*layer).to_owned(), (*used).to_owned());
            assert!(arrows.contains(&arrow), "`{layer}` no longer uses `{used}`: edit LAYERS");
        }
    }
}

/// The modules of the program: the path of each one, and the folder of its file.
fn modules() -> BTreeMap<Vec<String>, String> {
    sources("src", "rs").iter().map(|source| (module(&source.path), folder(&source.path))).collect()
}

/// The path of the module in a file below `src/`.
fn module(path: &str) -> Vec<String> {
    let mut path: Vec<_> = path["src/".len()..path.len() - ".rs".len()].split('/').collect();
    path.pop_if(|last| ["mod", "lib", "main"].contains(last));
    path.into_iter().map(str::to_owned).collect()
}

/// The folder of a file.
fn folder(path: &str) -> String {
    path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()
}

/// All paths in a statement, such as `a::b` and `a::c` in `use a::{b, c};`.
fn paths(statement: &str) -> Vec<Vec<&str>> {
    let (mut all, mut outer, mut current) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let word = &rest[..rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())];
        if !word.is_empty() {
            current.push(word);
            rest = &rest[word.len()..];
            continue;
        }
        rest = rest.strip_prefix("::").unwrap_or_else(|| {
            let is_group = first == '{' && statement.contains("use ");
            if is_group {
                outer.push(current.len());
            } else {
                if current.len() > outer.last().copied().unwrap_or_default() {
                    all.push(current.clone());
                }
                if first == '}' {
                    outer.pop();
                }
                current.truncate(outer.last().copied().unwrap_or_default());
            }
            &rest[first.len_utf8()..]
        });
    }
    all.push(current);
    all.retain(|path| path.len() > 1);
    all
}

/// The folders that a file uses, each with the number of a line that names it. A `mod.rs` lists
/// what is in the folders below it, so that these do not count.
fn used_folders(
    source: &Source,
    modules: &BTreeMap<Vec<String>, String>,
) -> BTreeMap<String, usize> {
    let own = module(&source.path);
    let is_mod = stem(source) == "mod";
    let mut used = BTreeMap::new();
    for (number, statement) in source.statements() {
        for path in paths(&statement) {
            let parent = own.split_last().map_or(&[][..], |(_, parent)| parent);
            let (base, rest) = match path[0] {
                "crate" => (&[][..], &path[1..]),
                "super" => (parent, &path[1..]),
                "self" => (&own[..], &path[1..]),
                _ => (&own[..], &path[..]),
            };
            let full: Vec<_> =
                base.iter().cloned().chain(rest.iter().map(|it| (*it).to_owned())).collect();
            let found =
                (base.len() + 1..=full.len()).rev().find_map(|len| modules.get(&full[..len]));
            let is_listed = |found: &String| {
                let parent = found.rsplit_once('/').map_or("", |(parent, _)| parent);
                is_mod && parent == folder(&source.path)
            };
            if let Some(folder) = found.filter(|it| **it != folder(&source.path) && !is_listed(it))
            {
                used.entry(folder.clone()).or_insert(number);
            }
        }
    }
    used
}

/// Neither a folder and its subfolder nor any other two use each other, over others or directly:
/// what both need is in a third place.
#[test]
fn folders_form_no_circle() {
    let modules = modules();
    let mut arrows = BTreeMap::<String, BTreeMap<String, String>>::new();
    for source in sources("src", "rs") {
        for (used, number) in used_folders(&source, &modules) {
            let from = arrows.entry(folder(&source.path)).or_default();
            from.entry(used).or_insert(format!("{}:{number}", source.path));
        }
    }
    let has = |from: &str, to: &str| arrows.get(from).is_some_and(|it| it.contains_key(to));
    assert!(has("src/describe/formats", "src/describe/text"), "{arrows:?}");
    assert!(has("src/service", "src/service/tracker"), "{arrows:?}");
    // Leave out folders that use none that are left, until nothing changes: what stays is circles.
    loop {
        let known: BTreeSet<_> = arrows.keys().cloned().collect();
        for used in arrows.values_mut() {
            used.retain(|folder, _| known.contains(folder));
        }
        arrows.retain(|_, used| !used.is_empty());
        if arrows.len() == known.len() {
            break;
        }
    }
    assert!(arrows.is_empty(), "these folders use each other: {arrows:#?}");
}

#[test]
fn paths_are_found_in_statements() {
    let found = |statement| -> Vec<String> {
        paths(statement).into_iter().map(|path| path.join("::")).collect()
    };
    for (statement, expected) in [
        ("use crate::a::b;", &["crate::a::b"][..]),
        (
            "use crate::a::{b, c::{d, e}, f};",
            &["crate::a::b", "crate::a::c::d", "crate::a::c::e", "crate::a::f"],
        ),
        ("    let x = crate::a::run(super::b::C, y);", &["crate::a::run", "super::b::C"]),
        ("impl From<crate::a::B> for C {", &["crate::a::B"]),
    ] {
        assert_eq!(found(statement), expected, "{statement}");
    }
}

/// A path through two parents hides which layer it leads to.
#[test]
fn no_path_goes_up_twice() {
    for source in product() {
        source.has_none_of(&["super::super::"], source.code());
    }
}

#[test]
fn pure_layers_make_no_system_call() {
    for pure in PURE {
        for source in sources(pure, "rs") {
            source.has_none_of(IMPURE, source.code());
        }
    }
}

/// Only a sink writes to the log, and the command line, which has no bus yet.
#[test]
fn only_sinks_log() {
    let log = ["tracing::", "println!", "eprintln!", "stderr()"];
    for source in product() {
        let path = &source.path;
        if !["src/sinks/", "src/cli/"].iter().any(|dir| path.starts_with(dir)) {
            source.has_none_of(&log, source.code());
        }
    }
}

/// A route stands for itself: what several need is in a file of its own.
#[test]
fn no_route_uses_another() {
    for dir in ["src/decide/routes", "src/finalize/routes"] {
        let routes: Vec<_> = sources(dir, "rs").into_iter().filter(is_route).collect();
        assert!(routes.len() > 3, "only {} routes were found in {dir}", routes.len());
        for route in &routes {
            let others = routes.iter().map(stem).filter(|it| *it != stem(route));
            route.uses_none_of("routes", others);
        }
    }
}

/// What several sidecar formats need is in `describe/text/` or beside `describe/sidecar.rs`.
#[test]
fn no_sidecar_format_uses_another() {
    let mut formats = sources("src/describe/formats", "rs");
    formats.retain(|it| stem(it) != "mod");
    assert!(formats.len() > 10, "only {} formats were found", formats.len());
    for format in &formats {
        let others = formats.iter().map(stem).filter(|it| *it != stem(format));
        format.uses_none_of("formats", others);
    }
}

/// What several sinks need is in `events/` or `text/`. A sink is a file or a folder.
#[test]
fn no_sink_uses_another() {
    let mut files = sources("src/sinks", "rs");
    files.retain(|it| it.path != "src/sinks/mod.rs");
    let sink_of = |source: &Source| {
        let first = source.path["src/sinks/".len()..].split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs").to_owned()
    };
    let sinks: BTreeSet<_> = files.iter().map(sink_of).collect();
    assert!(sinks.contains("log") && sinks.len() > 2, "{sinks:?}");
    for file in &files {
        let own = sink_of(file);
        file.uses_none_of("sinks", sinks.iter().map(String::as_str).filter(|it| *it != own));
    }
}

#[test]
fn modules_are_found_in_paths() {
    for (statement, is_named) in [
        ("use crate::sinks::log::LogSink;", true),
        ("use crate::sinks::{bars, log};", true),
        ("use super::log;", true),
        ("    super::log::write(line);", true),
        ("use crate::sinks::log_lines;", false),
        ("use crate::events::log;", false),
        ("    log::write(line);", false),
    ] {
        assert_eq!(names_module(statement, "sinks", "log"), is_named, "{statement}");
    }
    let text = "use crate::sinks::{\n    bars,\n    log,\n};\nfn run() {\n}\n".to_owned();
    let statements = Source { path: String::new(), text }.statements();
    let numbers: Vec<_> = statements.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 5, 6]);
    assert!(names_module(&statements[0].1, "sinks", "log"));
}

/// Returns whether a file in a folder of routes is a route, and not a part that routes share.
fn is_route(source: &Source) -> bool {
    !["mod", "page_header", "plan"].contains(&stem(source))
}

/// Returns whether all of a file is a test.
fn is_test(source: &Source) -> bool {
    ["tests", "timeline"].contains(&stem(source))
}

/// Who calls the system about another file than data, or only about its name, is listed, and no
/// longer listed once it does not.
#[test]
fn only_fs_makes_system_calls_on_data() {
    let mut callers = BTreeSet::new();
    for source in product().filter(|it| !it.path.starts_with("src/fs/") && !is_test(it)) {
        for calls in [FILE_CALLS, LOOKUPS] {
            let listed = CALLERS
                .iter()
                .find(|(path, listed, _)| *listed == calls && source.path.starts_with(path));
            for (number, line) in source.code() {
                if let Some(call) = calls.iter().find(|call| line.contains(*call)) {
                    let Some((path, _, of)) = listed else {
                        panic!("{}:{number}: `{call}` outside src/fs/", source.path);
                    };
                    callers.insert((*path, *of));
                }
            }
        }
    }
    for (path, _, of) in CALLERS {
        assert!(callers.contains(&(*path, *of)), "{path}: no call on {of} any more: edit CALLERS");
    }
}

#[test]
fn only_fs_is_unsafe() {
    for source in product() {
        let in_fs = source.path.starts_with("src/fs/");
        for (number, _) in source.lines().filter(|(_, line)| is_unsafe(line)) {
            assert!(in_fs, "{}:{number}: only src/fs/ may be unsafe", source.path);
        }
    }
}

/// The comment stands right above the statement, where a reader needs it.
#[test]
fn unsafe_code_has_a_safety_comment() {
    let mut seen = 0;
    for source in sources("src/fs", "rs") {
        let lines: Vec<_> = source.text.lines().collect();
        for at in (0..lines.len()).filter(|at| is_unsafe(lines[*at])) {
            // rustfmt may put the call on the line below its `let`.
            let above = lines[..at].iter().rev().skip_while(|line| line.ends_with('='));
            let mut comment = above.take_while(|line| is_comment(line));
            let has_safety = comment.any(|line| line.trim_start().starts_with("// SAFETY: "));
            assert!(has_safety, "{}:{}: no SAFETY comment above", source.path, at + 1);
            seen += 1;
        }
    }
    assert!(seen > 0, "no unsafe code was found: remove this test");
}

/// The words are split here so that this file does not contain them.
#[test]
fn no_unfinished_code() {
    let words = ["TO-DO", "FIX-ME", "to-do!", "unimple-mented!", "dbg-!", "#[al-low("]
        .map(|it| it.replace('-', ""));
    for source in everything() {
        source.has_none_of(&words.each_ref().map(String::as_str), source.lines());
    }
}

#[test]
fn files_are_short() {
    for source in product() {
        let lines = source.text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: split it", source.path);
    }
}

#[test]
fn functions_are_short() {
    for source in product() {
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (number, line) in source.lines() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            if !is_comment(line) && (code.starts_with("fn ") || code.contains(" fn ")) {
                open.retain(|(_, outer)| *outer < indent); // else a trait's, without a body
                open.push((number, indent));
            }
            if code == "}"
                && let Some((from, _)) = open.pop_if(|(_, outer)| *outer == indent)
            {
                let lines = number - from + 1;
                assert!(lines <= FUNCTION_LINES_MAX, "{}:{from}: {lines} lines", source.path);
            }
        }
    }
}

#[test]
fn lines_are_short() {
    for source in everything() {
        for (number, line) in source.lines() {
            let max = if line.contains('"') { COLUMNS_MAX_WITH_TEXT } else { COLUMNS_MAX };
            let columns = line.chars().count();
            assert!(columns <= max, "{}:{number}: {columns} columns", source.path);
        }
    }
}

/// Tables, links and code can't be broken everywhere.
#[test]
fn prose_lines_are_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root.join(name)).unwrap();
        let mut fenced = false;
        for (number, line) in text.lines().enumerate() {
            fenced ^= line.starts_with("```");
            if !fenced && !line.starts_with('|') && !line.contains("](") {
                let columns = line.chars().count();
                assert!(columns <= COLUMNS_MAX, "{name}:{}: {columns} columns", number + 1);
            }
        }
    }
}

#[test]
fn the_architecture_names_every_layer() {
    let map = include_str!("../../../ARCHITECTURE.md");
    let library = include_str!("../../../src/lib.rs");
    for module in library.lines().filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';')) {
        assert!(map.contains(&format!("`{module}/`")), "ARCHITECTURE.md does not name `{module}`");
    }
}
