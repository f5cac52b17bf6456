//! What the tests have npyd leave out, to see that they notice. No release build has this.

#[cfg(not(debug_assertions))]
compile_error!("the feature `sabotage` breaks npyd on purpose: build without it");

/// Whether `NPYD_SABOTAGE` names this, among others, with commas between: `data-sync`, `writeback`
/// (which only helps that), `sync-before-header`, `directory-sync`, `source-last`, `rest-sync`,
/// `backup`.
#[must_use]
pub fn skips(what: &str) -> bool {
    std::env::var("NPYD_SABOTAGE").is_ok_and(|named| named.split(',').any(|it| it == what))
}
