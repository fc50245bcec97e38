use super::*;

const BODY: &[u8] = b"what do ya want for nothing?";

fn proof(by: ProofBy, secrets: &[&str]) -> Proof {
    let secrets = secrets.iter().map(|text| SecretString::from(*text));
    Proof {
        by,
        secrets: secrets.collect(),
    }
}

fn signed(hash: Hash, secrets: &[&str]) -> Proof {
    let header = "x-signature".to_owned();
    proof(ProofBy::Signature { header, hash }, secrets)
}

/// A request with these headers, over `BODY`.
fn try_with(
    proofs: &[Proof],
    headers: &[(&str, &[u8])],
    url_secret: Option<&str>,
) -> Result<(), ProofError> {
    let header = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    verify(
        proofs,
        &Presented {
            header: &header,
            url_secret,
            body: BODY,
        },
    )
}

/// The second test case of RFC 2202 and of RFC 4231.
const VECTORS: [(Hash, &str); 6] = [
    (Hash::Md5, "750c783e6ab0b503eaa86e310a5db738"),
    (Hash::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    (
        Hash::Sha224,
        "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
    ),
    (
        Hash::Sha256,
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        Hash::Sha384,
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
         8e2240ca5e69e2c78b3239ecfab21649",
    ),
    (
        Hash::Sha512,
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
         9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    ),
];

#[test]
fn signatures_of_every_hash_hold_in_every_spelling() {
    for (hash, hex) in VECTORS {
        let proofs = [signed(hash, &["new", "Jefe"])];
        let tag = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).unwrap();
        let base64 = BASE64.encode(&tag);
        for spelling in [
            hex.to_owned(),
            hex.to_uppercase(),
            format!("{}={hex}", hash.as_str()),
            format!("{}={hex}", hash.as_str().to_uppercase()),
            base64.clone(),
            base64.trim_end_matches('=').to_owned(),
            format!("{}={base64}", hash.as_str()),
        ] {
            let header = [("x-signature", spelling.as_bytes())];
            assert_eq!(try_with(&proofs, &header, None), Ok(()), "{spelling}");
            let others = [signed(hash, &["new", "jefe"])];
            assert!(matches!(
                try_with(&others, &header, None),
                Err(ProofError::Wrong(_))
            ));
        }
    }
}

#[test]
fn what_is_no_signature_is_refused() {
    let (hash, hex) = VECTORS[3];
    let proofs = [signed(hash, &["Jefe"])];
    for wrong in [
        &b""[..],
        b"=",
        b"==",
        b"sha256=",
        b"\xff\xff",
        &hex.as_bytes()[1..],
        &hex.as_bytes()[..32],
        format!("sha1={hex}").as_bytes(),
        format!(" {hex}").as_bytes(),
        format!("{hex}=").as_bytes(),
        "é".repeat(32).as_bytes(),
    ] {
        let answer = try_with(&proofs, &[("x-signature", wrong)], None);
        assert!(matches!(answer, Err(ProofError::Wrong(_))), "{wrong:?}");
    }
    assert!(matches!(
        try_with(&proofs, &[("x-other", hex.as_bytes())], None),
        Err(ProofError::Missing(_))
    ));
}

#[test]
fn basic_is_compared_whole() {
    let proofs = [proof(ProofBy::Basic, &["d360:old", "d360:s3cr3t"])];
    let basic = |text: &str| BASE64.encode(text.as_bytes());
    let try_basic = |value: String| try_with(&proofs, &[("authorization", value.as_bytes())], None);
    for scheme in ["Basic", "basic", "BASIC"] {
        assert_eq!(
            try_basic(format!("{scheme} {}", basic("d360:s3cr3t"))),
            Ok(())
        );
        assert_eq!(try_basic(format!("{scheme} {}", basic("d360:old"))), Ok(()));
    }
    for wrong in [
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic d360:s3cr3t".to_owned(),
        format!("Bearer {}", basic("d360:s3cr3t")),
        format!("Basic {}", basic("d360:s3cr3")),
        format!("Basic {}", basic("d360:s3cr3t ")),
        format!("Basic {}", basic("")),
    ] {
        assert!(
            matches!(try_basic(wrong.clone()), Err(ProofError::Wrong(_))),
            "{wrong}"
        );
    }
}

#[test]
fn headers_and_secrets_of_the_url_are_compared_as_they_are() {
    let proofs = [
        proof(ProofBy::Header("x-tenant".to_owned()), &["7"]),
        proof(ProofBy::Url, &["in the url", "the next"]),
    ];
    let right = [("x-tenant", &b"7"[..])];
    assert_eq!(try_with(&proofs, &right, Some("in the url")), Ok(()));
    assert_eq!(try_with(&proofs, &right, Some("the next")), Ok(()));
    for (headers, url) in [
        (&right[..], None),
        (&right[..], Some("")),
        (&right[..], Some("in the ur")),
        (&[("x-tenant", &b"07"[..])], Some("in the url")),
        (&[], Some("in the url")),
    ] {
        assert!(try_with(&proofs, headers, url).is_err(), "{url:?}");
    }
}

#[test]
fn all_that_is_configured_must_hold_and_nothing_configured_proves_nothing() {
    assert_eq!(try_with(&[], &[], None), Err(ProofError::NoSecret));
    for none in [proof(ProofBy::Url, &[]), proof(ProofBy::Url, &["", ""])] {
        assert_eq!(try_with(&[none], &[], Some("")), Err(ProofError::NoSecret));
    }
    let (hash, hex) = VECTORS[3];
    let both = [
        signed(hash, &["Jefe"]),
        proof(ProofBy::Header("x-tenant".to_owned()), &["7"]),
    ];
    let signature = ("x-signature", hex.as_bytes());
    assert!(try_with(&both, &[signature], None).is_err());
    assert!(try_with(&both, &[("x-tenant", b"7")], None).is_err());
    assert_eq!(
        try_with(&both, &[signature, ("x-tenant", b"7")], None),
        Ok(())
    );
}
