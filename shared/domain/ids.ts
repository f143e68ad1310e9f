// The Velero Plugin for vSphere's id grammar: `type:id[:snapshot]`, nested ids in unpadded standard base64.
// Source: the documents of the Velero Plugin for vSphere; examples in test/fixtures/seed.

import { TerminalError } from '#shared/kernel/errors.ts'

/** A First Class Disk, or one of its snapshots. */
type DiskId = { fcdId: string; snapshotId: string | undefined }

const UUID_LIKE = /^[0-9a-fA-F][0-9a-fA-F-]{0,63}$/
const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
const DNS_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/
/** Far above any real id (about 250 bytes), and far below a harmful size. */
const MAX_ID_CHARS = 4096
const MAX_NESTING = 4

export function formatDiskId(fcdId: string, snapshotId?: string): string {
  return snapshotId === undefined ? `ivd:${fcdId}` : `ivd:${fcdId}:${snapshotId}`
}

/** `ivd:<fcd>` or `ivd:<fcd>:<snapshot>`. Throws TerminalError `SnapshotIDInvalid` for anything else. */
export function parseDiskId(text = ''): DiskId {
  const [type, fcdId, snapshotId, ...rest] = split(text)
  if (type !== 'ivd') throw invalid(text, `its type is not "ivd"`)
  if (rest.length > 0) throw invalid(text, 'it has more than three parts')
  if (fcdId === undefined || !UUID_LIKE.test(fcdId)) throw invalid(text, 'its disk is no UUID')
  if (snapshotId !== undefined && !UUID_LIKE.test(snapshotId)) throw invalid(text, 'its snapshot is no UUID')
  return { fcdId, snapshotId }
}

/** Like parseDiskId, but the snapshot part is required. */
export function parseDiskSnapshotId(text = ''): { fcdId: string; snapshotId: string } {
  const { fcdId, snapshotId } = parseDiskId(text)
  if (snapshotId === undefined) throw invalid(text, 'it names no snapshot')
  return { fcdId, snapshotId }
}

/** `pvc:<ns>/<pvc>:` + unpadded base64 of the disk's id. */
export function formatClaimSnapshotId(id: {
  namespace: string
  claim: string
  disk: { fcdId: string; snapshotId: string }
}): string {
  return `pvc:${id.namespace}/${id.claim}:${encodeNested(formatDiskId(id.disk.fcdId, id.disk.snapshotId))}`
}

/** Parses a Snapshot's id of any flavour and unwraps it until the disk is found. */
export function parseClaimSnapshotId(text: string): {
  namespace: string
  claim: string
  disk: { fcdId: string; snapshotId: string }
} {
  const [type, path, nested, ...rest] = split(text)
  if (type !== 'pvc') throw invalid(text, `its type is not "pvc"`)
  if (nested === undefined || rest.length > 0) throw invalid(text, 'it does not have three parts')
  const [namespace, claim, ...more] = (path ?? '').split('/')
  if (namespace === undefined || !DNS_LABEL.test(namespace)) throw invalid(text, 'its namespace is no Kubernetes name')
  if (claim === undefined || more.length > 0 || !DNS_NAME.test(claim))
    throw invalid(text, 'its claim is no Kubernetes name')
  return { namespace, claim, disk: unwrapToDisk(text) }
}

export function isClaimSnapshotId(value: unknown): value is string {
  if (typeof value !== 'string') return false
  try {
    parseClaimSnapshotId(value)
    return true
  } catch (error) {
    if (error instanceof TerminalError) return false
    throw error
  }
}

/** The innermost disk snapshot of an id of any flavour: `ivd`, `pvc`, `paravirt-pv`. */
export function unwrapToDisk(text = ''): { fcdId: string; snapshotId: string } {
  let inner = text
  for (let depth = 0; depth < MAX_NESTING; depth++) {
    const parts = split(inner)
    if (parts[0] === 'ivd') return parseDiskSnapshotId(inner)
    const nested = parts[2]
    if (nested === undefined) throw invalid(text, 'no disk snapshot is nested in it')
    inner = decodeNested(text, nested)
  }
  throw invalid(text, 'it is nested too deeply')
}

function split(text: string): string[] {
  if (text.length > MAX_ID_CHARS) throw invalid(`${text.slice(0, 60)}…`, `it is longer than ${MAX_ID_CHARS} characters`)
  return text.split(':')
}

function encodeNested(inner: string): string {
  const padded = Buffer.from(inner, 'utf8').toString('base64')
  const end = padded.indexOf('=')
  return end < 0 ? padded : padded.slice(0, end)
}

function decodeNested(whole: string, nested: string): string {
  if (!BASE64.test(nested)) throw invalid(whole, 'its nested part is no base64')
  const inner = Buffer.from(nested, 'base64').toString('utf8')
  if (!/^[\x20-\x7e]*$/.test(inner)) throw invalid(whole, 'its nested part does not decode to text')
  return inner
}

function invalid(text: string, why: string): TerminalError {
  const shown = text.length > 120 ? `${text.slice(0, 120)}…` : text
  return new TerminalError('SnapshotIDInvalid', `snapshotID ${JSON.stringify(shown)} cannot be used: ${why}`)
}
