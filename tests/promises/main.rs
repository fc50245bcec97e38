//! The promises, kept over HTTP against the real service on a real Postgres: one test each,
//! named after what it keeps. What the provider would do is played by the simulator, or by
//! webhooks that a test signs itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod answers;
mod bulk;
mod campaigns;
mod capabilities;
mod carriers;
mod certificates;
mod connecting;
mod doctor;
mod editing;
mod endpoint;
mod evidence;
mod failures;
mod flows;
mod gates;
mod hang_up;
mod lanes;
mod leases;
mod limits;
mod locks;
mod logos;
mod managed;
mod managed_calls;
mod managed_files;
mod managed_kinds;
mod managed_outcomes;
mod media;
mod media_calls;
mod meetings;
mod nats;
mod overload;
mod poll;
mod providers;
mod races;
mod reach;
mod refusals;
mod registering;
mod repeats;
mod replay;
mod said;
mod sealing;
mod senders;
mod sending;
mod simulated;
mod stream;
mod subscription_trouble;
mod subscriptions;
mod support;
mod templates;
mod users;
mod waiting;
mod webhook_subscriptions;
mod webhooks;
mod welcome;
