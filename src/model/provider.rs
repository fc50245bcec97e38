//! Who carries the messages of a connection. It says how they are sent; what a webhook is, is told
//! by its shape.

/// Who carries the messages of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Meta's Cloud API, without anybody between.
    Meta,
    /// 360dialog, in front of the Cloud API.
    Dialog360,
    /// 360dialog, in front of the On-Premises API.
    Dialog360Onprem,
    /// Infobip.
    Infobip,
}

impl Provider {
    /// Each once.
    pub const ALL: [Self; 4] = [
        Self::Meta,
        Self::Dialog360,
        Self::Dialog360Onprem,
        Self::Infobip,
    ];

    /// The word in the API and in SQL. Stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Dialog360 => "dialog360",
            Self::Dialog360Onprem => "dialog360_onprem",
            Self::Infobip => "infobip",
        }
    }

    /// The account that is part of a template's name. Only Meta's lists, webhooks and senders all
    /// name one; elsewhere a connection's templates are of one account, as far as anybody says,
    /// and what some say of it must not tell one template from itself.
    pub fn account_of_templates(self, waba_id: Option<&str>) -> &str {
        match self {
            Self::Meta => waba_id.unwrap_or_default(),
            Self::Dialog360 | Self::Dialog360Onprem | Self::Infobip => "",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}
