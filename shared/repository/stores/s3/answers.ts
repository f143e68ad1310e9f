// Does the store answer, or something on the way to it? A login page, a console or a proxy answers 200 as well, and a list
// that cannot be read must not pass for an empty one. What a store always says with a success is asked for here.

import { excerptOf, excerptOfBytes } from '#shared/kernel/excerpt.ts'
import { KiB, MiB } from '#shared/kernel/units.ts'

/** A success that no S3 store would give so. Becomes RetryableError `S3AnswerUnreadable`. */
export class ForeignAnswer extends Error {}

/** Larger than a thousand keys of a kilobyte each, with every character escaped. */
export const MOST_LIST_BYTES = 16 * MiB
/** Errors are some lines of XML. */
export const MOST_ERROR_BYTES = 256 * KiB

export type WireAnswer = { status: number; headers: Readonly<Record<string, string | undefined>>; body: Uint8Array }

/** The name of the document that answers the call; those without one have no body that is looked at. */
const DOCUMENTS: Record<string, string> = {
  ListObjectsV2Command: 'ListBucketResult',
  ListMultipartUploadsCommand: 'ListMultipartUploadsResult',
}
/** Every store names the version of the object with these. */
const WITH_ETAG = new Set(['GetObjectCommand', 'HeadObjectCommand', 'PutObjectCommand'])

/** `command`: the SDK's name of the call. Only successes are asked: an error is told by its code. */
export function checkAnswer(command: string, { status, headers, body }: WireAnswer): void {
  if (status < 200 || status >= 300) return
  const refuse = (why: string) => new ForeignAnswer(`${why}; ${describe(headers, body)}`)
  const document = DOCUMENTS[command]
  if (document !== undefined && !isDocument(body, document)) throw refuse(`it is no ${document}`)
  if (document !== undefined && !saysWhole(body)) throw refuse('it does not say whether the list is whole')
  if (isPage(command, headers, body)) throw refuse('it is a web page')
  if (WITH_ETAG.has(command) && !headers['etag']) throw refuse('it has no ETag')
  const isSilent = command === 'PutObjectCommand' || command === 'DeleteObjectCommand'
  if (isSilent && body.length > 0) throw refuse('it has a body')
}

/** The SDK takes every word but `true` for false: a list that goes on would end there. Without the element the SDK's reading shows it. */
function saysWhole(body: Uint8Array): boolean {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const at = bytes.indexOf('<IsTruncated')
  if (at < 0) return true
  return /^<IsTruncated>(true|false)</i.test(bytes.toString('latin1', at, at + 20))
}

/** Some stores give that type to every answer without a body (OpenStack Swift's S3 API, GCS): to these calls a page has one. */
function isPage(command: string, headers: WireAnswer['headers'], body: Uint8Array): boolean {
  // Those about an object tell the type that we gave it, and its bytes are not shown to us.
  const isAboutObject = command === 'GetObjectCommand' || command === 'HeadObjectCommand'
  if (!isAboutObject && body.length === 0) return false
  return /^\s*text\/html\b/i.test((headers['content-type'] ?? '').slice(0, 100))
}

/** `from` is asked for, `lengthBytes` at most; fewer only at the object's end. */
export function checkRange(range: string | undefined, from: number, lengthBytes: number, received: number): void {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec((range ?? '').slice(0, 60))
  const [first, last, total] = (match ?? []).slice(1).map(Number)
  const isPart = first === from && last === from + received - 1 && received <= lengthBytes
  const isWhole = received === lengthBytes || total === from + received
  if (isPart && isWhole) return
  const asked = `${lengthBytes} bytes at ${from}`
  throw new ForeignAnswer(`asked for ${asked}, it gives ${received} with the range ${excerptOf(range ?? 'none', 60)}`)
}

export type Listed = {
  Name?: string | undefined
  Prefix?: string | undefined
  /** `url`: the store has done as it was asked, names are escaped. */
  EncodingType?: string | undefined
  KeyCount?: number | undefined
  IsTruncated?: boolean | undefined
  NextContinuationToken?: string | undefined
  Contents?: { Key?: string | undefined; Size?: number | undefined; LastModified?: Date | undefined }[] | undefined
  CommonPrefixes?: readonly unknown[] | undefined
}
export type WholeEntry = { Key: string; Size: number; LastModified: Date }

/** What came in answer to `LIST prefix` of `bucket`: it echoes both, says whether it is all, and leaves nothing out. */
export function checkList(page: Listed, bucket: string, prefix: string): WholeEntry[] {
  const { Name, Prefix, EncodingType, KeyCount, IsTruncated, NextContinuationToken } = page
  const { Contents = [], CommonPrefixes = [] } = page
  checkBucket(Name ?? '', bucket)
  if (Prefix !== prefix && unescaped(Prefix ?? '') !== prefix) {
    throw new ForeignAnswer(`it lists what begins with ${excerptOf(Prefix ?? 'nothing', 200)}`)
  }
  if (typeof IsTruncated !== 'boolean') throw new ForeignAnswer('it does not say whether the list is whole')
  checkNext(IsTruncated, NextContinuationToken)
  // Some stores' token is a key: going on at another place would leave out what lies between.
  if (isMangled(NextContinuationToken ?? '')) throw new ForeignAnswer('its list goes on at a key that it cannot tell')
  // Not every store counts (GCS).
  if (KeyCount !== undefined && KeyCount !== Contents.length + CommonPrefixes.length) {
    throw new ForeignAnswer(`it counts ${KeyCount} keys and lists ${Contents.length}`)
  }
  return Contents.map(({ Key = '', ...entry }) =>
    wholeEntry({ ...entry, Key: EncodingType === 'url' ? nameBelow(Key, prefix) : Key }, prefix),
  )
}

/** A list that goes on says where. */
export function checkNext(isTruncated: boolean | undefined, next: string | undefined): void {
  if (isTruncated === true && !next) throw new ForeignAnswer('its list goes on, it does not say where')
}

/**
 * Where the list goes on; undefined: that was all. A page that says both that it is whole and where it goes on is believed to go on, as
 * that costs one LIST and the other would end the list too early. One without a key ends it.
 */
export function nextOf({ IsTruncated, NextContinuationToken, Contents = [] }: Listed): string | undefined {
  const goesOn = IsTruncated === true || Contents.length > 0
  return goesOn && NextContinuationToken ? NextContinuationToken : undefined
}

function wholeEntry(
  { Key = '', Size, LastModified }: NonNullable<Listed['Contents']>[number],
  prefix: string,
): WholeEntry {
  if (Key === '' || !Key.startsWith(prefix))
    throw new ForeignAnswer(`it lists the key ${excerptOf(Key, 200) || 'of nothing'}`)
  const isSized = typeof Size === 'number' && Number.isSafeInteger(Size) && Size >= 0
  // Ages are taken from it: without one, a session would count as idle since 1970.
  const isDated = LastModified !== undefined && Number.isFinite(LastModified.getTime())
  if (!isSized || !isDated) throw new ForeignAnswer(`it lists ${excerptOf(Key, 200)} without size or time`)
  return { Key, Size, LastModified }
}

/** undefined: it does not say. Of unfinished uploads not every store does. */
export function checkBucket(name: string | undefined, bucket: string): void {
  if (name === undefined || namesBucket(name, bucket)) return
  throw new ForeignAnswer(`it lists bucket ${excerptOf(name || 'none', 80)}`)
}

/** Access points may tell their own name or that of the bucket behind them; a tenant of Ceph is named apart. */
function namesBucket(name: string, bucket: string): boolean {
  if (name === '') return false
  if (bucket.startsWith('arn:') || bucket.endsWith('-s3alias')) return true
  return name === bucket || name === bucket.slice(bucket.indexOf(':') + 1)
}

/** A store may tell that it escapes names and leave them as they are: the prefix shows it. */
export function nameBelow(told: string, prefix: string): string {
  const name = unescaped(told)
  return name.startsWith(prefix) || !told.startsWith(prefix) ? name : told
}

/** Go's XML writes that in place of a control character: of such a name neither the object nor its place in the list can be told. */
export const isMangled = (name: string): boolean => name.includes('\uFFFD')

/** Percent and plus signs: what a form sends. Bytes that are no UTF-8 become U+FFFD. */
function unescaped(told: string): string {
  if (!/[%+]/.test(told)) return told
  const bytes = Buffer.from(told.replaceAll('+', ' '), 'utf8').toString('latin1')
  const raw = bytes.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(raw, 'latin1').toString('utf8')
}

/** Its first and its last tag: one that was cut off lacks the latter. */
function isDocument(body: Uint8Array, name: string): boolean {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
  const head = /^(?:\u00ef\u00bb\u00bf)?\s*(?:<\?xml[^<>]{0,200}\?>)?\s*<([\w.-]{1,100})/.exec(
    text(body.subarray(0, KiB)),
  )
  return head?.[1] === name && text(body.subarray(-200)).trimEnd().endsWith(`</${name}>`)
}

function describe(headers: WireAnswer['headers'], body: Uint8Array): string {
  const type = excerptOf(headers['content-type'] ?? 'none', 60)
  const start = body.length === 0 ? 'without a body' : `beginning with ${JSON.stringify(excerptOfBytes(body, 100))}`
  return `content type ${type}, ${start}`
}
