//! What goes over the wire beside what the SDK knows of it.
//!
//! The SDK reads an answer into memory whatever its length, fills a required field that is missing with an empty text, and does
//! not know, in the versions that build with the compiler this crate promises, a user's status, revision and enterprise
//! attributes. An interceptor bounds each answer and keeps its text; the records are read from that.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_identitystore::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
    BeforeTransmitInterceptorContextMut,
};
use aws_sdk_identitystore::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_identitystore::error::BoxError;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use serde_json::{Map, Value};

/// Longest answer that is read: a hundred records, each as large as the API allows, several times over.
const MOST_BYTES: usize = 16 << 20;

/// Bounds the answers of a client (rule S1).
#[derive(Debug)]
pub(super) struct Bounded;

impl Intercept for Bounded {
    fn name(&self) -> &'static str {
        "bounded answer"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(whole, MOST_BYTES));
        Ok(())
    }
}

/// Keeps the text of one answer, and asks for what the SDK cannot ask for.
#[derive(Clone, Default)]
pub(super) struct Kept {
    answer: Arc<Mutex<Option<Vec<u8>>>>,
    /// Ask for the enterprise attributes too; only where users are read.
    enterprise: bool,
}

/// The name of the enterprise extension, in requests and in answers.
pub(super) const ENTERPRISE: &str = "aws:identitystore:enterprise";

impl Kept {
    pub(super) fn with_enterprise(enterprise: bool) -> Self {
        Self { enterprise, ..Self::default() }
    }

    /// The text of the answer, once.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the text: it is made of people (rule S2).
        f.write_str("Kept")
    }
}

impl Intercept for Kept {
    fn name(&self) -> &'static str {
        "kept answer"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if !self.enterprise {
            return Ok(());
        }
        let request = context.request_mut();
        let Some(text) = request.body().bytes() else { return Err("the request has no text".into()) };
        let mut asked: Map<String, Value> = serde_json::from_slice(text)?;
        asked.insert("Extensions".to_owned(), Value::from(vec![ENTERPRISE]));
        let text = serde_json::to_vec(&asked)?;
        request.headers_mut().insert("content-length", text.len().to_string());
        *request.body_mut() = SdkBody::from(text);
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let text = context.response().body().bytes().map(<[u8]>::to_vec);
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = text;
        Ok(())
    }
}
