//! The words of sequences: in SQL, in the API and here the same.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The word in SQL and in the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the word back.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(
    /// The statuses a gate can wait for.
    GateStatus {
        /// The provider took the message.
        Accepted = "accepted",
        /// On its way.
        Sent = "sent",
        /// On the device: the default.
        Delivered = "delivered",
        /// Shown to the user; may never come, read receipts can be off.
        Read = "read",
    }
);
words!(
    /// What happens when a gate's deadline passes.
    OnDeadline {
        /// The sequence ends.
        Stop = "stop",
        /// The next message goes all the same.
        Skip = "skip",
        /// It waits for a person, or for late evidence.
        Hold = "hold",
    }
);
words!(
    /// What happens when a message fails for good.
    OnFailure {
        /// The sequence ends.
        Stop = "stop",
        /// The next message goes.
        Skip = "skip",
        /// A new attempt where the error's class allows it, else the sequence ends.
        Retry = "retry",
    }
);
words!(
    /// What happens when the answer to a POST was lost and no evidence came.
    OnUnknown {
        /// It waits for a person: posting again could send the message twice.
        Hold = "hold",
        /// It is posted again: the caller said that duplicates are acceptable.
        Resend = "resend",
    }
);
words!(
    /// What happens when a marketing template would go to a user who wants no marketing.
    OnOptOut {
        /// The message fails and the sequence ends.
        Stop = "stop",
        /// The message fails, and `on_failure` says what follows.
        Fail = "fail",
        /// It waits until the user wants marketing again.
        Wait = "wait",
    }
);
words!(
    /// What happens to what is no template when the user's last message is known to be 24 hours
    /// old or older.
    OutsideWindow {
        /// It fails: the provider would refuse it (131047).
        Fail = "fail",
        /// It waits until the user writes.
        Wait = "wait",
        /// It is posted all the same: not all that the user writes is told to us.
        Send = "send",
    }
);
words!(
    /// What happens to a message that the provider took, and dropped because its template was
    /// paused (132015, on-premises 2061).
    OnTemplatePause {
        /// A new attempt is made when the template may be sent again.
        Wait = "wait",
        /// It has failed, and `on_failure` says what follows.
        Fail = "fail",
    }
);
words!(
    /// How a sequence stands.
    SequenceStatus {
        /// Going on by itself.
        Running = "running",
        /// Stopped by a person, until resumed.
        Paused = "paused",
        /// Waits for a person, or for evidence.
        Held = "held",
        /// The last message passed its gate.
        Completed = "completed",
        /// Ended by a policy.
        Stopped = "stopped",
        /// Ended by a person.
        Cancelled = "cancelled",
    }
);
words!(
    /// Why a sequence is held or was stopped, or why its head is posted again.
    Reason {
        /// The user wrote, and the sequence was to end then.
        Reply = "reply",
        /// The user wants no marketing.
        #[serde(rename = "opt_out")]
        OptOut = "opt_out",
        /// A gate's deadline passed.
        Deadline = "deadline",
        /// A message failed for good.
        Failure = "failure",
        /// The answer to a POST was lost and no evidence came.
        Unknown = "unknown",
    }
);
words!(
    /// What is being done with a sequence's head.
    SequenceWork {
        /// To be posted when due.
        Ready = "ready",
        /// Being posted.
        Claimed = "claimed",
        /// Posted; its gate is undecided.
        Waiting = "waiting",
        /// Nothing is left to do.
        Done = "done",
    }
);
