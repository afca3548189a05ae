//! Which clients a status request is about (`envoy.type.matcher.v3.NodeMatcher`).

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::r#type::matcher::v3::double_matcher::MatchPattern as DoublePattern;
use envoy_types::pb::envoy::r#type::matcher::v3::list_matcher::MatchPattern as ListPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern as StringPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::struct_matcher::path_segment::Segment;
use envoy_types::pb::envoy::r#type::matcher::v3::value_matcher::MatchPattern as ValuePattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{
    DoubleMatcher, NodeMatcher, StringMatcher, StructMatcher, ValueMatcher,
};
use envoy_types::pb::google::protobuf::value::Kind as Value;
use regex::Regex;

/// Why a matcher cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MatcherError {
    #[error("a string matcher says nothing; give it exact, prefix, suffix, contains or safe_regex")]
    Empty,
    #[error("a value matcher says nothing; give it one of its patterns")]
    EmptyValue,
    #[error("custom string matchers are not known here; use exact, prefix, suffix, contains or safe_regex")]
    Custom,
    #[error("the regular expression {pattern:?} is not one: {error}")]
    Regex { pattern: String, error: regex::Error },
}

/// A client is meant when one of them matches it, or when there is none.
#[derive(Debug)]
pub(super) struct NodeMatchers(Vec<OneNode>);

#[derive(Debug)]
struct OneNode {
    id: Option<Text>,
    metadata: Vec<(Vec<String>, Wanted)>,
}

impl NodeMatchers {
    pub(super) fn new(matchers: &[NodeMatcher]) -> Result<Self, MatcherError> {
        matchers.iter().map(OneNode::new).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn matches(&self, node: &Node) -> bool {
        self.0.is_empty() || self.0.iter().any(|one| one.matches(node))
    }
}

impl OneNode {
    fn new(matcher: &NodeMatcher) -> Result<Self, MatcherError> {
        let metadata = |wanted: &StructMatcher| {
            let path = wanted.path.iter().map(|segment| match &segment.segment {
                Some(Segment::Key(key)) => key.clone(),
                None => String::new(),
            });
            let value = wanted.value.as_ref().ok_or(MatcherError::EmptyValue)?;
            Ok((path.collect(), Wanted::new(value)?))
        };
        Ok(Self {
            id: matcher.node_id.as_ref().map(Text::new).transpose()?,
            metadata: matcher.node_metadatas.iter().map(metadata).collect::<Result<_, _>>()?,
        })
    }

    fn matches(&self, node: &Node) -> bool {
        let named = self.id.as_ref().is_none_or(|id| id.matches(&node.id));
        named && self.metadata.iter().all(|(path, wanted)| wanted.matches(lookup(node, path)))
    }
}

/// The value at `path` in a node's metadata.
fn lookup<'n>(node: &'n Node, path: &[String]) -> Option<&'n Value> {
    let (last, parents) = path.split_last()?;
    let mut fields = &node.metadata.as_ref()?.fields;
    for parent in parents {
        match &fields.get(parent)?.kind {
            Some(Value::StructValue(inner)) => fields = &inner.fields,
            _ => return None,
        }
    }
    fields.get(last)?.kind.as_ref()
}

#[derive(Debug)]
enum Wanted {
    Null,
    Number(f64),
    Range { start: f64, end: f64 },
    Text(Text),
    Bool(bool),
    Present(bool),
    OneOf(Box<Wanted>),
    Any(Vec<Wanted>),
}

impl Wanted {
    fn new(matcher: &ValueMatcher) -> Result<Self, MatcherError> {
        Ok(match matcher.match_pattern.as_ref().ok_or(MatcherError::EmptyValue)? {
            ValuePattern::NullMatch(_) => Self::Null,
            ValuePattern::DoubleMatch(DoubleMatcher {
                match_pattern: Some(DoublePattern::Exact(number)),
            }) => Self::Number(*number),
            ValuePattern::DoubleMatch(DoubleMatcher { match_pattern: Some(DoublePattern::Range(range)) }) => {
                Self::Range { start: range.start, end: range.end }
            }
            ValuePattern::DoubleMatch(_) => return Err(MatcherError::EmptyValue),
            ValuePattern::StringMatch(text) => Self::Text(Text::new(text)?),
            ValuePattern::BoolMatch(wanted) => Self::Bool(*wanted),
            ValuePattern::PresentMatch(wanted) => Self::Present(*wanted),
            ValuePattern::ListMatch(list) => match &list.match_pattern {
                Some(ListPattern::OneOf(wanted)) => Self::OneOf(Box::new(Self::new(wanted)?)),
                None => return Err(MatcherError::EmptyValue),
            },
            ValuePattern::OrMatch(any) => {
                Self::Any(any.value_matchers.iter().map(Self::new).collect::<Result<_, _>>()?)
            }
        })
    }

    fn matches(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Null, Some(Value::NullValue(_))) => true,
            (Self::Number(wanted), Some(Value::NumberValue(number))) => wanted == number,
            // "The start of the range is inclusive, the end exclusive" (envoy.type.v3.DoubleRange).
            (Self::Range { start, end }, Some(Value::NumberValue(number))) => (*start..*end).contains(number),
            (Self::Text(wanted), Some(Value::StringValue(text))) => wanted.matches(text),
            (Self::Bool(wanted), Some(Value::BoolValue(value))) => wanted == value,
            (Self::Present(wanted), value) => value.is_some() == *wanted,
            (Self::OneOf(wanted), Some(Value::ListValue(list))) => {
                list.values.iter().any(|value| wanted.matches(value.kind.as_ref()))
            }
            (Self::Any(wanted), value) => wanted.iter().any(|wanted| wanted.matches(value)),
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Text {
    pattern: Pattern,
    ignore_case: bool,
}

#[derive(Debug)]
enum Pattern {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Regex(Regex),
}

impl Text {
    fn new(matcher: &StringMatcher) -> Result<Self, MatcherError> {
        let ignore_case = matcher.ignore_case;
        let fold = |text: &String| if ignore_case { text.to_lowercase() } else { text.clone() };
        let pattern = match matcher.match_pattern.as_ref().ok_or(MatcherError::Empty)? {
            StringPattern::Exact(text) => Pattern::Exact(fold(text)),
            StringPattern::Prefix(text) => Pattern::Prefix(fold(text)),
            StringPattern::Suffix(text) => Pattern::Suffix(fold(text)),
            StringPattern::Contains(text) => Pattern::Contains(fold(text)),
            // "The entire string must match"; case is not ignored (envoy.type.matcher.v3.StringMatcher).
            StringPattern::SafeRegex(regex) => {
                let pattern = regex.regex.clone();
                let whole = Regex::new(&format!("^(?:{pattern})$"));
                Pattern::Regex(whole.map_err(|error| MatcherError::Regex { pattern, error })?)
            }
            StringPattern::Custom(_) => return Err(MatcherError::Custom),
        };
        Ok(Self { pattern, ignore_case })
    }

    fn matches(&self, text: &str) -> bool {
        let folded = if self.ignore_case { text.to_lowercase() } else { text.to_owned() };
        match &self.pattern {
            Pattern::Exact(wanted) => folded == *wanted,
            Pattern::Prefix(wanted) => folded.starts_with(wanted),
            Pattern::Suffix(wanted) => folded.ends_with(wanted),
            Pattern::Contains(wanted) => folded.contains(wanted),
            Pattern::Regex(wanted) => wanted.is_match(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;
    use envoy_types::pb::envoy::r#type::matcher::v3::struct_matcher::PathSegment;
    use envoy_types::pb::google::protobuf::{Struct, Value as AnyValue};

    use super::*;

    fn text(pattern: StringPattern, ignore_case: bool) -> StringMatcher {
        StringMatcher { ignore_case, match_pattern: Some(pattern) }
    }

    fn by_id(pattern: StringPattern) -> NodeMatcher {
        NodeMatcher { node_id: Some(text(pattern, false)), ..Default::default() }
    }

    fn node(id: &str) -> Node {
        Node { id: id.into(), ..Default::default() }
    }

    #[test]
    fn without_a_matcher_every_client_is_meant() {
        assert!(NodeMatchers::new(&[]).unwrap().matches(&node("edge")));
    }

    #[test]
    fn an_id_is_matched_as_its_pattern_says() {
        let regex = |regex: &str| {
            StringPattern::SafeRegex(RegexMatcher { regex: regex.into(), ..Default::default() })
        };
        for (pattern, expected) in [
            (StringPattern::Exact("edge-1".into()), true),
            (StringPattern::Exact("edge".into()), false),
            (StringPattern::Prefix("edge".into()), true),
            (StringPattern::Suffix("-1".into()), true),
            (StringPattern::Contains("ge".into()), true),
            (StringPattern::Contains("GE".into()), false),
            (regex("edge-[0-9]"), true),
            (regex("edge"), false),
        ] {
            let matchers = NodeMatchers::new(&[by_id(pattern.clone())]).unwrap();
            assert_eq!(matchers.matches(&node("edge-1")), expected, "{pattern:?}");
        }
        let folded = text(StringPattern::Exact("EDGE-1".into()), true);
        let folded = NodeMatcher { node_id: Some(folded), ..Default::default() };
        assert!(NodeMatchers::new(&[folded]).unwrap().matches(&node("edge-1")));
    }

    #[test]
    fn one_of_several_matchers_is_enough() {
        let either = ["a", "b"].map(|id| by_id(StringPattern::Exact(id.into())));
        let matchers = NodeMatchers::new(&either).unwrap();
        assert!(matchers.matches(&node("b")) && !matchers.matches(&node("c")));
    }

    #[test]
    fn metadata_is_found_by_its_path() {
        let zone = AnyValue { kind: Some(Value::StringValue("north".into())) };
        let inner = Struct { fields: [("zone".to_owned(), zone)].into() };
        let place = AnyValue { kind: Some(Value::StructValue(inner)) };
        let metadata = Some(Struct { fields: [("place".to_owned(), place)].into() });
        let node = Node { metadata, ..node("edge") };
        let wanted = |path: &[&str], pattern: ValuePattern| {
            let path = path.iter().map(|key| PathSegment { segment: Some(Segment::Key((*key).into())) });
            let value = Some(ValueMatcher { match_pattern: Some(pattern) });
            let matcher = StructMatcher { path: path.collect(), value };
            NodeMatchers::new(&[NodeMatcher { node_metadatas: vec![matcher], ..Default::default() }]).unwrap()
        };
        let north = ValuePattern::StringMatch(text(StringPattern::Exact("north".into()), false));
        assert!(wanted(&["place", "zone"], north.clone()).matches(&node));
        assert!(!wanted(&["zone"], north).matches(&node));
        assert!(wanted(&["place"], ValuePattern::PresentMatch(true)).matches(&node));
        assert!(wanted(&["nowhere"], ValuePattern::PresentMatch(false)).matches(&node));
    }

    #[test]
    fn a_matcher_that_says_nothing_is_an_error() {
        let nothing = NodeMatcher { node_id: Some(StringMatcher::default()), ..Default::default() };
        assert!(NodeMatchers::new(&[nothing]).unwrap_err().to_string().contains("exact"));
        let wrong = StringPattern::SafeRegex(RegexMatcher { regex: "(".into(), ..Default::default() });
        assert!(NodeMatchers::new(&[by_id(wrong)]).unwrap_err().to_string().contains("\"(\""));
    }
}
