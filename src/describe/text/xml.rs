//! XML sidecars: parses them with limits on size, nesting and attributes.

use roxmltree::{Document, Error, Node, ParsingOptions};
use serde_json::Value;

use crate::describe::text::Metadata;
use crate::describe::text::error::DescribeError;

/// Maximum size of an XML text, in bytes. Instruments write much smaller ones, and a parsed text
/// needs many times its size in memory.
const TEXT_MAX: usize = 1 << 20;

/// Maximum number of elements, texts and comments.
const NODES_MAX: u32 = 100_000;

/// Maximum nesting depth of elements.
const DEPTH_MAX: usize = 64;

/// Maximum number of attributes of an element, because the parser compares each with all before it.
const ATTRIBUTES_MAX: usize = 1000;

/// Parses an XML text. Returns `None` if neither the root nor one of its children has this element
/// name.
///
/// # Errors
/// The text contains the name, and is not valid XML or exceeds a limit.
pub(crate) fn parse<'a>(
    text: &'a str,
    element: &str,
) -> Result<Option<Document<'a>>, DescribeError> {
    if !text.contains(element) {
        return Ok(None);
    }
    if text.len() > TEXT_MAX {
        return Err(format!("it has {} bytes; npyd reads at most {TEXT_MAX}", text.len()).into());
    }
    if let Some(line) = crowded_line(text) {
        return Err(
            format!("line {line}: an element has more than {ATTRIBUTES_MAX} attributes").into()
        );
    }
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    match Document::parse_with_options(text, options) {
        Ok(xml) => {
            if let Some(node) = deep_node(&xml) {
                let line = xml.text_pos_at(node.range().start).row;
                return Err(format!("line {line}: it is nested deeper than {DEPTH_MAX}").into());
            }
            let root = xml.root_element();
            let has_it = root.has_tag_name(element)
                || root.children().any(|child| child.has_tag_name(element));
            Ok(has_it.then_some(xml))
        }
        Err(Error::NodesLimitReached) => {
            Err(format!("it has more than {NODES_MAX} elements, texts and comments").into())
        }
        Err(error) => Err(format!("line {}: {error}", error.pos().row).into()),
    }
}

/// Returns the line of the first element that may have too many attributes. It splits the text at
/// `<`, which can't be inside a tag.
fn crowded_line(text: &str) -> Option<usize> {
    let mut line = 1;
    for tag in text.split('<') {
        if tag.matches('=').count() > ATTRIBUTES_MAX {
            return Some(line);
        }
        line += tag.matches('\n').count();
    }
    None
}

/// Returns a node that is nested too deeply.
fn deep_node<'a, 'input>(xml: &'a Document<'input>) -> Option<Node<'a, 'input>> {
    let mut level = vec![xml.root()];
    for _ in 0..=DEPTH_MAX {
        level = level.iter().flat_map(Node::children).collect();
    }
    level.into_iter().next()
}

/// Converts a node's content to JSON: attributes and elements become fields, repeated elements
/// become lists, and an element with neither becomes its text.
pub(crate) fn fields(node: Node<'_, '_>) -> Metadata {
    let mut fields = Metadata::new();
    for attribute in node.attributes() {
        fields.insert(attribute.name().to_owned(), attribute.value().into());
    }
    for child in node.children().filter(Node::is_element) {
        let inner = fields_or_text(child);
        match fields.get_mut(child.tag_name().name()) {
            Some(Value::Array(items)) => items.push(inner),
            Some(first) => *first = Value::Array(vec![first.take(), inner]),
            None => {
                fields.insert(child.tag_name().name().to_owned(), inner);
            }
        }
    }
    fields
}

fn fields_or_text(node: Node<'_, '_>) -> Value {
    let fields = fields(node);
    if fields.is_empty() {
        node.text().unwrap_or_default().trim().into()
    } else {
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_become_fields() {
        let text = "<root a='1'><b>x</b><c d='2'/><c/><e><f> y </f></e></root>";
        let xml = parse(text, "b").unwrap().unwrap();
        let facts = Value::Object(fields(xml.root_element()));
        let expected =
            serde_json::json!({"a": "1", "b": "x", "c": [{"d": "2"}, ""], "e": {"f": "y"}});
        assert_eq!(facts, expected);
        assert!(parse(text, "f").unwrap().is_none());
        assert!(parse("<b>\n<c></b>", "b").unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn texts_beyond_the_limits_are_rejected() {
        let nested = |depth| "<b>".repeat(depth) + &"</b>".repeat(depth);
        assert!(parse(&nested(DEPTH_MAX), "b").unwrap().is_some());
        assert!(parse(&nested(DEPTH_MAX + 1), "b").unwrap_err().to_string().contains("deeper"));
        assert!(parse(&nested(90_000), "b").unwrap_err().to_string().contains("deeper"));
        let many = format!("<b>{}</b>", "<c/>".repeat(100_000));
        assert!(parse(&many, "b").unwrap_err().to_string().contains("more than 100000 elements"));
        assert!(parse(&nested(140_000), "b").is_err());
        assert!(parse(&("<b/>".repeat(300_000)), "b").unwrap_err().to_string().contains("bytes"));
        let attributes =
            |count| (0..count).fold(String::new(), |tag, at| tag + &format!(" a{at}='>'"));
        assert!(parse(&format!("<b{}/>", attributes(ATTRIBUTES_MAX)), "b").unwrap().is_some());
        let crowded = format!("<b>\n<c{}/></b>", attributes(ATTRIBUTES_MAX + 1));
        assert!(parse(&crowded, "b").unwrap_err().to_string().contains("line 2"));
        let laughs = "<!DOCTYPE b [<!ENTITY x 'ha'><!ENTITY y '&x;&x;'>]><b>&y;</b>";
        assert!(parse(laughs, "b").is_err());
    }
}
