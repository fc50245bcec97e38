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

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}
