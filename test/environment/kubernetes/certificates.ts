// Certificates of the environment: one authority, and servers on loopback that it signs for (ECDSA P-256, RFC 5280).

import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto'
import net from 'node:net'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import { bits, choice, der, explicit, integer, objectId, octets, sequence, set, utcTime, utf8, yes } from './der.ts'

export type KeyPair = { certPem: string; keyPem: string }

const ECDSA_SHA256 = sequence(objectId('1.2.840.10045.4.3.2'))
const COMMON_NAME = '2.5.4.3'
const BASIC_CONSTRAINTS = '2.5.29.19'
const KEY_USAGE = '2.5.29.15'
const EXTENDED_KEY_USAGE = '2.5.29.37'
const SUBJECT_ALT_NAME = '2.5.29.17'
const SUBJECT_KEY_ID = '2.5.29.14'
const AUTHORITY_KEY_ID = '2.5.29.35'
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'

/** Signs for the servers of one environment; lives in memory only. */
export class Authority {
  readonly certPem: string
  private readonly name: Buffer
  private readonly key: KeyObject
  private readonly keyId: Buffer

  constructor(commonName = 'dormouse test environment') {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.key = pair.privateKey
    this.keyId = createHash('sha1').update(spki(pair.publicKey)).digest()
    this.name = distinguishedName(commonName)
    this.certPem = this.issue(this.name, pair.publicKey, [
      extension(BASIC_CONSTRAINTS, sequence(yes()), true),
      // Bits 5 and 6: sign certificates and revocation lists; one bit is unused at the end.
      extension(KEY_USAGE, der(0x03, Buffer.from([1, 0b0000_0110])), true),
      extension(SUBJECT_KEY_ID, octets(this.keyId)),
    ])
  }

  /** `names`: host names and IP addresses. */
  serverCertificate(names: string[]): KeyPair {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const certPem = this.issue(distinguishedName(names[0] ?? 'server'), pair.publicKey, [
      extension(BASIC_CONSTRAINTS, sequence(), true),
      // Bit 0: digital signature.
      extension(KEY_USAGE, der(0x03, Buffer.from([7, 0b1000_0000])), true),
      extension(EXTENDED_KEY_USAGE, sequence(objectId(SERVER_AUTH))),
      extension(AUTHORITY_KEY_ID, sequence(choice(0, this.keyId))),
      extension(SUBJECT_ALT_NAME, sequence(...names.map(generalName))),
    ])
    return { certPem, keyPem: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }
  }

  private issue(subject: Buffer, publicKey: KeyObject, extensions: Buffer[]): string {
    const nowMs = Date.now()
    const body = sequence(
      explicit(0, integer(Buffer.from([2]))), // version 3
      integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
      ECDSA_SHA256,
      this.name,
      sequence(utcTime(nowMs - HOUR_MS), utcTime(nowMs + 365 * DAY_MS)),
      subject,
      spki(publicKey),
      explicit(3, sequence(...extensions)),
    )
    const certificate = sequence(body, ECDSA_SHA256, bits(sign('sha256', body, this.key)))
    return new X509Certificate(certificate).toString()
  }
}

/** A key that signs ServiceAccount tokens. */
export function signingKeyPem(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'sec1', format: 'pem' }) as string
}

function spki(publicKey: KeyObject): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' })
}

function distinguishedName(commonName: string): Buffer {
  return sequence(set(sequence(objectId(COMMON_NAME), utf8(commonName))))
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(objectId(id), ...(critical ? [yes()] : []), octets(value))
}

function generalName(name: string): Buffer {
  return net.isIPv4(name) ? choice(7, Buffer.from(name.split('.').map(Number))) : choice(2, Buffer.from(name))
}
