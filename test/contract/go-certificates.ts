// Makes certificates of every kind that the tests of trust need, good and bad, like those of private authorities.

import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import net from 'node:net'
import { DAY_MS } from '#shared/kernel/units.ts'
import {
  bits,
  choice,
  der,
  explicit,
  integer,
  objectId,
  octets,
  sequence,
  set,
  utcTime,
  utf8,
  yes,
} from '../environment/kubernetes/der.ts'

type Hash = 'sha256' | 'sha1' | 'md5'
type KeyKind = 'ec' | 'ec521' | 'ed25519' | 'rsa' | 'rsa1024'

export type Wanted = {
  name: string
  by?: Issued
  keyKind?: KeyKind
  /** Another certificate for the same key. */
  key?: KeyObject
  hash?: Hash
  /** Basic constraints; undefined: none at all. */
  ca?: boolean | undefined
  pathLength?: number
  /** subjectAltName: names, addresses, `email:…`, `uri:…`; undefined: none. */
  names?: string[]
  extendedUsage?: string[] | undefined
  usage?: number
  days?: [number, number]
  permitted?: string[]
  excluded?: string[]
  unknownCritical?: boolean
  version1?: boolean
}

export type Issued = { certPem: string; keyPem: string; key: KeyObject; name: Buffer; keyId: Buffer; hash: Hash }

export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
export const ANY_USAGE = '2.5.29.37.0'
/** Bits of KeyUsage, in its single byte. */
export const DIGITAL_SIGNATURE = 0b1000_0000
export const SIGN_CERTIFICATES = 0b0000_0110

const RSA: Record<Hash, string> = {
  sha256: '1.2.840.113549.1.1.11',
  sha1: '1.2.840.113549.1.1.5',
  md5: '1.2.840.113549.1.1.4',
}
const ECDSA: Partial<Record<Hash, string>> = { sha256: '1.2.840.10045.4.3.2', sha1: '1.2.840.10045.4.1' }

export function issue(wanted: Wanted): Issued {
  const { key = newKey(wanted.keyKind ?? 'ec'), hash = 'sha256', days = [-1, 365], version1 = false } = wanted
  const publicKey = spkiOf(key)
  const own = { key, name: nameOf(wanted.name), keyId: createHash('sha1').update(publicKey).digest() }
  const issuer = wanted.by ?? own
  const algorithm = algorithmOf(issuer.key, hash)
  const body = sequence(
    ...(version1 ? [] : [explicit(0, integer(Buffer.from([2])))]),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    algorithm,
    issuer.name,
    sequence(...days.map((day) => utcTime(Date.now() + day * DAY_MS))),
    own.name,
    publicKey,
    ...(version1 ? [] : [explicit(3, sequence(...extensionsOf(wanted, own.keyId, issuer.keyId)))]),
  )
  const signature = sign(issuer.key.asymmetricKeyType === 'ed25519' ? null : hash, body, issuer.key)
  const certPem = new X509Certificate(sequence(body, algorithm, bits(signature))).toString()
  return { ...own, certPem, keyPem: key.export({ type: 'pkcs8', format: 'pem' }) as string, hash }
}

function newKey(kind: KeyKind): KeyObject {
  if (kind === 'ed25519') return generateKeyPairSync('ed25519').privateKey
  if (kind === 'rsa' || kind === 'rsa1024')
    return generateKeyPairSync('rsa', { modulusLength: kind === 'rsa' ? 2048 : 1024 }).privateKey
  return generateKeyPairSync('ec', { namedCurve: kind === 'ec' ? 'P-256' : 'P-521' }).privateKey
}

function algorithmOf(key: KeyObject, hash: Hash): Buffer {
  if (key.asymmetricKeyType === 'rsa') return sequence(objectId(RSA[hash]), der(0x05))
  if (key.asymmetricKeyType === 'ed25519') return sequence(objectId('1.3.101.112'))
  return sequence(objectId(ECDSA[hash] ?? ''))
}

function extensionsOf(wanted: Wanted, keyId: Buffer, issuerKeyId: Buffer): Buffer[] {
  const { ca, pathLength, names, extendedUsage, usage, permitted, excluded, unknownCritical } = wanted
  const length = pathLength === undefined ? [] : [integer(Buffer.from([pathLength]))]
  const constraints = sequence(...subtrees(0, permitted), ...subtrees(1, excluded))
  return [
    ca === undefined ? undefined : extension('2.5.29.19', ca ? sequence(yes(), ...length) : sequence(), true),
    usage === undefined ? undefined : extension('2.5.29.15', der(0x03, Buffer.from([0, usage])), true),
    extendedUsage && extension('2.5.29.37', sequence(...extendedUsage.map(objectId))),
    extension('2.5.29.14', octets(keyId)),
    extension('2.5.29.35', sequence(choice(0, issuerKeyId))),
    names && extension('2.5.29.17', sequence(...names.map(generalName))),
    (permitted ?? excluded) ? extension('2.5.29.30', constraints, true) : undefined,
    unknownCritical === true ? extension('1.2.3.4.5', der(0x05), true) : undefined,
  ].filter((each) => each !== undefined)
}

function subtrees(number: number, names: string[] | undefined): Buffer[] {
  return names === undefined ? [] : [explicit(number, Buffer.concat(names.map((name) => sequence(generalName(name)))))]
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(objectId(id), ...(critical ? [yes()] : []), octets(value))
}

function generalName(name: string): Buffer {
  const [, kind, value = ''] = /^(email|uri|dns):(.*)$/s.exec(name) ?? []
  if (kind !== undefined) return choice({ email: 1, dns: 2, uri: 6 }[kind] ?? 2, Buffer.from(value))
  if (net.isIPv4(name)) return choice(7, Buffer.from(name.split('.').map(Number)))
  if (name === '::1') return choice(7, Buffer.concat([Buffer.alloc(15), Buffer.from([1])]))
  if (name === '127.0.0.0/8') return choice(7, Buffer.from([127, 0, 0, 0, 255, 0, 0, 0]))
  return choice(2, Buffer.from(name))
}

function nameOf(commonName: string): Buffer {
  return sequence(set(sequence(objectId('2.5.4.3'), utf8(commonName))))
}

function spkiOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' })
}
