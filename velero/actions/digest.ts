// Names that are shortened with a digest or made from one.

import { createHash } from 'node:crypto'

const MAX_LABEL_CHARS = 63
const DIGEST_CHARS = 6

/** A name as a label's value: Velero (pkg/label, GetValidName) cuts a long one and ends it with the beginning of its SHA-256. */
export function labelValue(name: string): string {
  if (name.length <= MAX_LABEL_CHARS) return name
  return name.slice(0, MAX_LABEL_CHARS - DIGEST_CHARS) + sha256(name).slice(0, DIGEST_CHARS)
}

/** Equal for equal content, so that two concurrent requests make one claim. */
export function repositoryClaimName(content: string): string {
  return `brc-${sha256(content).slice(0, 32)}`
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
