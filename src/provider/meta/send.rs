//! Sending over the Cloud API: a message to a request, an answer to an outcome. Pure; `send` posts.
