// Checks that an answer comes from the store, and not from something on the way to it. A login page, a console or a proxy answers 200 as
// well, and a list that cannot be read must not pass for an empty one. These checks require what every store says with a success.

import { excerptOf, excerptOfBytes } from '#shared/kernel/excerpt.ts'
import { KiB, MiB } from '#shared/kernel/units.ts'

/** A success that no S3 store would answer in this form. Becomes RetryableError `S3AnswerUnreadable`. */
export class ForeignAnswer extends Error {}

/** Larger than a thousand keys of a kilobyte each, with every character escaped. */
export const MOST_LIST_BYTES = 16 * MiB
/** Errors are a few lines of XML. */
export const MOST_ERROR_BYTES = 256 * KiB

type WireAnswer = { status: number; headers: Readonly<Record<string, string | undefined>>; body: Uint8Array }

/** The root element of the document that answers the call. The check ignores the body of calls that are not listed here. */
const DOCUMENTS: Record<string, string> = {
  ListObjectsV2Command: 'ListBucketResult',
  ListMultipartUploadsCommand: 'ListMultipartUploadsResult',
}
/** Every store names the version of the object in the answers to these calls. */
const WITH_ETAG = new Set(['GetObjectCommand', 'HeadObjectCommand', 'PutObjectCommand'])

/** `command`: the SDK's name of the call. Only successes are checked: an error is recognized by its code. */
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

/**
 * The SDK reads every value except `true` as false, which would end a truncated list too early. If the element is missing, the SDK's
 * result shows it.
 */
function saysWhole(body: Uint8Array): boolean {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const at = bytes.indexOf('<IsTruncated')
  if (at < 0) return true
  return /^<IsTruncated>(true|false)</i.test(bytes.toString('latin1', at, at + 20))
}

/**
 * Whether the answer is a web page. Some stores set the type text/html on every answer without a body (OpenStack Swift's S3 API, GCS); a
 * page that answers such a call has a body.
 */
function isPage(command: string, headers: WireAnswer['headers'], body: Uint8Array): boolean {
  // GET and HEAD return the type that Dormouse stored with the object, and the check does not see the object's bytes.
  const isAboutObject = command === 'GetObjectCommand' || command === 'HeadObjectCommand'
  if (!isAboutObject && body.length === 0) return false
  return /^\s*text\/html\b/i.test((headers['content-type'] ?? '').slice(0, 100))
}

/** `from` is the first requested byte, `lengthBytes` the most that may come; fewer are allowed only at the object's end. */
export function checkRange(range: string | undefined, from: number, lengthBytes: number, received: number): void {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec((range ?? '').slice(0, 60))
  const [first, last, total] = (match ?? []).slice(1).map(Number)
  const isPart = first === from && last === from + received - 1 && received <= lengthBytes
  const isWhole = received === lengthBytes || total === from + received
  if (isPart && isWhole) return
  const asked = `${lengthBytes} bytes at ${from}`
  throw new ForeignAnswer(`asked for ${asked}, it gives ${received} with the range ${excerptOf(range ?? 'none', 60)}`)
}

type Listed = {
  Name?: string | undefined
  Prefix?: string | undefined
  /** `url`: the store has escaped the names, as requested. */
  EncodingType?: string | undefined
  KeyCount?: number | undefined
  IsTruncated?: boolean | undefined
  NextContinuationToken?: string | undefined
  Contents?: { Key?: string | undefined; Size?: number | undefined; LastModified?: Date | undefined }[] | undefined
  CommonPrefixes?: readonly unknown[] | undefined
}
type WholeEntry = { Key: string; Size: number; LastModified: Date }

/** Checks the answer to `LIST prefix` of `bucket`: it must echo both, say whether the list is complete, and leave nothing out. */
export function checkList(page: Listed, bucket: string, prefix: string): WholeEntry[] {
  const { Name, Prefix, EncodingType, KeyCount, IsTruncated, NextContinuationToken } = page
  const { Contents = [], CommonPrefixes = [] } = page
  checkBucket(Name ?? '', bucket)
  if (Prefix !== prefix && unescaped(Prefix ?? '') !== prefix) {
    throw new ForeignAnswer(`it lists what begins with ${excerptOf(Prefix ?? 'nothing', 200)}`)
  }
  if (typeof IsTruncated !== 'boolean') throw new ForeignAnswer('it does not say whether the list is whole')
  checkNext(IsTruncated, NextContinuationToken)
  // In some stores the token is a key: continuing at another key would skip the keys in between.
  if (isMangled(NextContinuationToken ?? '')) throw new ForeignAnswer('its list goes on at a key that it cannot tell')
  // Not every store counts (GCS).
  if (KeyCount !== undefined && KeyCount !== Contents.length + CommonPrefixes.length) {
    throw new ForeignAnswer(`it counts ${KeyCount} keys and lists ${Contents.length}`)
  }
  return Contents.map(({ Key = '', ...entry }) =>
    wholeEntry({ ...entry, Key: EncodingType === 'url' ? nameBelow(Key, prefix) : Key }, prefix),
  )
}

/** A truncated list must say where it continues. */
export function checkNext(isTruncated: boolean | undefined, next: string | undefined): void {
  if (isTruncated === true && !next) throw new ForeignAnswer('its list goes on, it does not say where')
}

/**
 * Where the list continues; undefined: it is complete. A page that says both that it is complete and where it continues is taken to
 * continue: this costs one LIST, whereas the other choice could end the list too early. A complete page without a key ends the list.
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
  // Ages are computed from it: without a date, a session would count as idle since 1970.
  const isDated = LastModified !== undefined && Number.isFinite(LastModified.getTime())
  if (!isSized || !isDated) throw new ForeignAnswer(`it lists ${excerptOf(Key, 200)} without size or time`)
  return { Key, Size, LastModified }
}

/** undefined: the answer does not name the bucket. Not every store does so for unfinished uploads. */
export function checkBucket(name: string | undefined, bucket: string): void {
  if (name === undefined || namesBucket(name, bucket)) return
  throw new ForeignAnswer(`it lists bucket ${excerptOf(name || 'none', 80)}`)
}

/** Access points may return their own name or that of the bucket behind them. Ceph returns the bucket without its tenant. */
function namesBucket(name: string, bucket: string): boolean {
  if (name === '') return false
  if (bucket.startsWith('arn:') || bucket.endsWith('-s3alias')) return true
  return name === bucket || name === bucket.slice(bucket.indexOf(':') + 1)
}

/** A store may say that it escapes names and yet leave them as they are: the prefix shows which it did. */
export function nameBelow(told: string, prefix: string): string {
  const name = unescaped(told)
  return name.startsWith(prefix) || !told.startsWith(prefix) ? name : told
}

/**
 * Go's XML encoder writes U+FFFD in place of a control character. From such a name, neither the object nor its place in the list is
 * known.
 */
export const isMangled = (name: string): boolean => name.includes('\uFFFD')

/** Decodes percent and plus signs as in a form. Bytes that are not UTF-8 become U+FFFD. */
function unescaped(told: string): string {
  if (!/[%+]/.test(told)) return told
  const bytes = Buffer.from(told.replaceAll('+', ' '), 'utf8').toString('latin1')
  const raw = bytes.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(raw, 'latin1').toString('utf8')
}

/** Checks the first and the last tag: a document that was cut off lacks the last one. */
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
