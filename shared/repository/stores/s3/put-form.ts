// In which form an object is written: whether its payload is signed, and with which checksum. Stores differ in what they accept.

import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { PutObjectCommandInput } from '@aws-sdk/client-s3'
import { statusOf } from './errors.ts'
import type { ChecksumAlgorithm } from './parameter-values.ts'
import type { S3Settings } from './settings.ts'

export type PutForm = { payload: 'unsigned' | 'signed'; checksum: ChecksumAlgorithm }

/**
 * The forms to try, in this order. The payload is not signed at first: hashing it costs three times as much as sending it. The signed
 * checksum protects it against damage on the way. Against attackers, TLS or the repository's own authentication protects it; an attacker
 * who could change a request could as well discard it and answer 200. A policy may forbid unsigned payloads: then the payload is signed.
 * Where neither a checksum nor TLS protects it, it is signed from the start. A location that names no algorithm gets CRC32, and no
 * checksum where the store refuses it.
 */
export function formsOf({ checksumAlgorithm, url }: S3Settings): PutForm[] {
  const checksum = checksumAlgorithm ?? 'CRC32'
  const isGuarded = checksum !== 'none' || url?.startsWith('http:') !== true
  return [
    ...(isGuarded ? [{ payload: 'unsigned', checksum } as const] : []),
    { payload: 'signed', checksum },
    ...(checksumAlgorithm === undefined ? [{ payload: 'signed', checksum: 'none' } as const] : []),
  ]
}

/** Codes for a body that was cut or late: these do not mean that the store refuses the form. */
const ABOUT_THE_WAY = new Set(['IncompleteBody', 'RequestTimeout'])

/** The previous form was refused with `error`: whether to try `next`. A store that does not know the checksum answers 400 or 501. */
export function mayBeTaken(next: PutForm, error: Error): boolean {
  const statuses = next.checksum === 'none' ? [400, 501] : [400, 403, 501]
  if (next.checksum === 'none' && ABOUT_THE_WAY.has(error.name)) return false
  return statuses.includes(statusOf(error) ?? 0)
}

type ChecksumFields = Pick<
  PutObjectCommandInput,
  'ChecksumAlgorithm' | 'ChecksumCRC32' | 'ChecksumSHA1' | 'ChecksumSHA256'
>

/** Node's native code computes the checksum where it can; the SDK computes the others in JavaScript. */
export function checksumFields(algorithm: ChecksumAlgorithm, body: Uint8Array): ChecksumFields {
  switch (algorithm) {
    case 'none':
      return {}
    case 'CRC32':
      return { ChecksumCRC32: crc32Base64(body) }
    case 'SHA1':
      return { ChecksumSHA1: createHash('sha1').update(body).digest('base64') }
    case 'SHA256':
      return { ChecksumSHA256: createHash('sha256').update(body).digest('base64') }
    case 'CRC32C':
    case 'CRC64NVME':
      return { ChecksumAlgorithm: algorithm }
  }
}

function crc32Base64(body: Uint8Array): string {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(crc32(body))
  return bytes.toString('base64')
}
