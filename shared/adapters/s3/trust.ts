// Which certificates the store's own is checked against: Node's list, the system's, and the location's CA bundle.

import { X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { TerminalError } from '#shared/kernel/errors.ts'

// The body is base64, without a dash: so many beginnings without an end are no more work than one.
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

let publicAuthorities: string[] | undefined

/** TerminalError `S3CaCertInvalid` when the bundle holds something that is no certificate. */
export function secureContextFor(caCert: string | undefined): tls.SecureContext {
  // Both lists: Node's own alone would not know what an administrator added to the image (or SSL_CERT_FILE names).
  publicAuthorities ??= [...new Set([...tls.getCACertificates('default'), ...tls.getCACertificates('system')])]
  return tls.createSecureContext({ ca: [...publicAuthorities, ...certificatesOf(caCert)], minVersion: 'TLSv1.2' })
}

// OpenSSL skips what it cannot read without a word, and the handshake fails later for another reason.
function certificatesOf(bundle: string | undefined): string[] {
  if (bundle === undefined) return []
  const certificates = bundle.match(CERTIFICATE) ?? []
  for (const [index, pem] of certificates.entries()) {
    try {
      new X509Certificate(pem)
    } catch (cause) {
      throw new TerminalError(
        'S3CaCertInvalid',
        `certificate ${index + 1} of the CA bundle (caCert) cannot be read: give it in PEM form`,
        { cause },
      )
    }
  }
  if (certificates.length === 0)
    throw new TerminalError('S3CaCertInvalid', 'the CA bundle (caCert) holds no certificate: give it in PEM form')
  return certificates
}
