//! Every array that NumPy can save, made again from its raw bytes and a manifest.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Receipts, Site, python, run_python};

/// The files are NumPy's to the byte.
#[test]
fn every_array_is_numpys_to_the_byte() {
    let Some(python) = python() else { return };
    let site = Site::new();
    fs::create_dir(site.path("numpy")).unwrap();
    run_python(&python, "numpy/arrays.py", [site.path("numpy")]).expect_code(0);
    let index = String::from_utf8(site.read("numpy/index.jsonl")).unwrap();
    let arrays: Vec<Value> = index.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert!(arrays.len() >= 300, "several hundred arrays, not {}", arrays.len());
    for array in &arrays {
        let name = array["name"].as_str().unwrap();
        let manifest =
            json!({"dtype": array["descr"], "shape": array["shape"], "order": array["order"]});
        let raw = format!("{name}.raw");
        fs::rename(site.path(format!("numpy/{raw}")), site.path(format!("in/{raw}"))).unwrap();
        site.drop_file(&format!("{raw}.json"), manifest.to_string());
    }
    // What np.load would refuse for the length of its header is refused.
    let (arrays, too_long): (Vec<Value>, Vec<Value>) =
        arrays.into_iter().partition(|array| array["header_len"].as_u64().unwrap() <= 10_010);
    let receipts = site.sweep().json();
    assert_eq!(receipts.of_event("rejected").len(), too_long.len());
    assert_eq!(receipts.of_event("finalized").len(), arrays.len());
    for array in &arrays {
        let name = array["name"].as_str().unwrap();
        let (ours, numpys) = (format!("out/{name}.npy"), format!("numpy/{name}.npy"));
        assert!(site.read(&ours) == site.read(&numpys), "{array}");
    }
}
