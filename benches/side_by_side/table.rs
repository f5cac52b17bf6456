//! Markdown tables.

/// Prints a table, each row as long as the head.
pub(crate) fn print(title: &str, head: &[&str], rows: &[Vec<String>]) {
    println!("#### {title}\n");
    println!("| {} |", head.join(" | "));
    println!("|{}", "---|".repeat(head.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
    println!();
}

/// A number in units of so many, with one decimal.
pub(crate) fn tenths(number: u64, unit: u64) -> String {
    format!("{}.{}", number / unit, number % unit * 10 / unit)
}
