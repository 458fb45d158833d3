//! What people see.

use std::io::Write;

use serde_json::Value;

/// A line for standard output. A reader that went away (`| head`) is no error.
pub(super) fn line(text: &str) {
    let _gone = writeln!(std::io::stdout(), "{text}");
}

/// Text for standard output that others will follow in the same line.
pub(super) fn part(text: &str) {
    let _gone = write!(std::io::stdout(), "{text}");
}

/// A line for standard error.
pub(super) fn note(text: &str) {
    let _gone = writeln!(std::io::stderr(), "{text}");
}

/// Why nothing was done.
pub(super) fn problem(text: &str) {
    note(&format!("error: {text}"));
}

/// Names and values, one a line, the values aligned.
pub(super) fn facts(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        line(&format!("{name:width$}  {value}"));
    }
}

/// Rows of cells, aligned by column.
pub(super) fn table(rows: &[Vec<String>]) {
    for text in layout(rows) {
        line(&text);
    }
}

fn layout(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let row = |cells: &Vec<String>| {
        let cells: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(row).collect()
}

/// A field of an answer as text: strings without quotes, everything else as JSON.
pub(super) fn field(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// At most `limit` characters of a text, in one line.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if flat.chars().count() <= limit {
        return flat;
    }
    let kept: String = flat.chars().take(limit.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_align() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(layout(&[row(["a", "b"]), row(["long", "c"])]), ["a     b", "long  c"]);
    }

    #[test]
    fn fields_and_lengths() {
        let value = json!({"a": "x", "b": [1], "c": null});
        assert_eq!([field(&value, "a"), field(&value, "b"), field(&value, "c")], ["x", "[1]", "-"]);
        assert_eq!(shortened("a\nb", 10), "a b");
        assert_eq!(shortened("abcdef", 4), "abc…");
    }
}
