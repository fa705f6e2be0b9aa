//! Says what rustls-webpki thinks of the chains in FOLDER, as test/_support/crossed-chains.ts writes them: cargo run FOLDER

use std::{env, error::Error, fs, path::Path};

use rustls_pki_types::{pem::PemObject, CertificateDer, TrustAnchor, UnixTime};
use webpki::{anchor_from_trusted_cert, ring, EndEntityCert, KeyUsage};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("usage: verify-chains FOLDER")?;
    let folder = Path::new(&folder);
    for pair in fs::read_to_string(folder.join("pairs"))?.lines() {
        let (chain, bundle) = pair.split_once(' ').ok_or("a pair is two words")?;
        let shown = certificates(&folder.join("chains").join(format!("{chain}.pem")))?;
        let trusted = certificates(&folder.join("bundles").join(format!("{bundle}.pem")))?;
        match verify(&shown, &trusted) {
            Ok(()) => println!("{pair} accepts"),
            Err(why) => println!("{pair} refuses: {why:?}"),
        }
    }
    Ok(())
}

/// As rustls does: the first certificate is the leaf, the others may help.
fn verify(shown: &[CertificateDer], trusted: &[CertificateDer]) -> Result<(), webpki::Error> {
    let anchors = trusted
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<Vec<TrustAnchor>, _>>()?;
    let leaf = EndEntityCert::try_from(&shown[0])?;
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        let algorithms = &[ring::ECDSA_P256_SHA256];
        leaf.verify_for_usage(algorithms, &anchors, &shown[1..], UnixTime::now(), usage, None, None)?;
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Box<dyn Error>> {
    let all = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        return Err(format!("{} holds no certificate", path.display()).into());
    }
    Ok(all)
}
