//! What the server says about itself: `ServiceProviderConfig`.

use serde_json::{Map, Value};

use super::json::field;

/// What the server offers; nothing, where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    /// `Some(false)`: it says that it has no PATCH.
    pub(super) patch: Option<bool>,
    pub(super) filter: Option<bool>,
    pub(super) etag: bool,
    pub(super) sort: bool,
    pub(super) cursor: bool,
    pub(super) bulk: Option<Bulk>,
    /// Most records that it gives in an answer.
    pub(super) most_results: Option<u64>,
}

/// How much goes into one bulk request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bulk {
    pub(super) operations: usize,
    pub(super) bytes: usize,
}

impl Offered {
    pub(super) fn read(config: &Map<String, Value>) -> Self {
        let feature = |name| field(config, name).and_then(Value::as_object);
        let flag = |name, of| feature(name).and_then(|feature| field(feature, of)).and_then(Value::as_bool);
        let number = |name, of| feature(name).and_then(|feature| field(feature, of)).and_then(Value::as_u64);
        let count = |name, of| number(name, of).map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let bulk =
            Bulk { operations: count("bulk", "maxOperations"), bytes: count("bulk", "maxPayloadSize") };
        Self {
            patch: flag("patch", "supported"),
            filter: flag("filter", "supported"),
            etag: flag("etag", "supported") == Some(true),
            sort: flag("sort", "supported") == Some(true),
            cursor: flag("pagination", "cursor") == Some(true),
            bulk: (flag("bulk", "supported") == Some(true) && bulk.operations > 1).then_some(bulk),
            most_results: [number("filter", "maxResults"), number("pagination", "maxPageSize")]
                .into_iter()
                .flatten()
                .filter(|most| *most > 0)
                .min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: &Value) -> Offered {
        Offered::read(config.as_object().unwrap())
    }

    #[test]
    fn what_is_not_offered_is_not_used() {
        assert_eq!(read(&json!({})), Offered::default());
        let nonsense = json!({"patch": true, "bulk": {"supported": "yes"}, "etag": [], "filter": null});
        assert_eq!(read(&nonsense), Offered::default());
        let useless = json!({"bulk": {"supported": true, "maxOperations": 0}});
        assert_eq!(read(&useless).bulk, None);
    }

    #[test]
    fn what_is_offered_is_known_with_its_limits() {
        let config = json!({
            "patch": {"supported": true}, "sort": {"supported": true}, "etag": {"supported": true},
            "bulk": {"supported": true, "maxOperations": 1000, "maxPayloadSize": 1_048_576},
            "filter": {"supported": true, "maxResults": 200},
            "pagination": {"cursor": true, "index": true, "maxPageSize": 100},
        });
        let bulk = Some(Bulk { operations: 1000, bytes: 1_048_576 });
        let expected = Offered {
            patch: Some(true),
            filter: Some(true),
            etag: true,
            sort: true,
            cursor: true,
            bulk,
            most_results: Some(100),
        };
        assert_eq!(read(&config), expected);
    }
}
