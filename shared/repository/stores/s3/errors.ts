// Translates what the SDK and the network throw into Dormouse's errors. Messages name the call, the key, the place and the fix. The
// server's own words are kept only where they cannot quote a credential.

import { readBundle } from '#shared/adapters/net/anchors.ts'
import { isDistrust } from '#shared/adapters/net/trust.ts'
import {
  type DormouseError,
  DormouseError as DormouseErrorClass,
  RetryableError,
  TerminalError,
} from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import { ForeignAnswer } from './answers.ts'
import { ResponseError } from './response-reader.ts'

export type CallContext = {
  /** `put roots/… in s3://bucket/prefix/plugins/dormouse` */
  what: string
  bucket: string
  /** The store's address, for messages. */
  address: string
  /** Where the credentials come from, never the credentials themselves. */
  credentialOrigin: string
  region: string
  /** The CA bundle that was given in addition to the system's authorities. */
  caCert: string | undefined
}

type SdkError = Error & {
  code?: string
  hostname?: string
  $metadata?: { httpStatusCode?: number }
  $response?: { headers?: Record<string, string> }
}
type Answer = (context: CallContext, error: SdkError) => DormouseError

const retryable = (reason: string, text: (context: CallContext) => string): Answer => {
  return (context, cause) => {
    const options = { cause: bare(cause), ...retryAfter(cause) }
    return new RetryableError(reason, `${context.what}: ${text(context)} (${codeOf(cause)})`, options)
  }
}
const terminal = (reason: string, text: (context: CallContext) => string): Answer => {
  return (context, cause) =>
    new TerminalError(reason, `${context.what}: ${text(context)} (${codeOf(cause)})`, { cause: bare(cause) })
}

const denied = terminal(
  'S3AccessDenied',
  (c) => `the store refuses the credentials of ${c.credentialOrigin}: check the keys and the bucket's policy`,
)
const expired = retryable(
  'S3CredentialsExpired',
  (c) => `the session token of ${c.credentialOrigin} has expired: renew it`,
)
const noBucket = terminal(
  'BucketMissing',
  (c) => `bucket ${c.bucket} does not exist at ${c.address}: create it, Dormouse does not`,
)
const slowDown = retryable('S3SlowDown', () => 'the store asks for fewer requests')
const full = retryable('S3Full', () => 'the store has no room or its quota is used up: make room')
const unavailable = retryable('S3Unavailable', () => 'the store cannot serve this now')
const damaged = retryable('S3Unavailable', () => 'the data was damaged or cut on its way to the store')
const wrongRegion = terminal(
  'S3WrongRegion',
  (c) => `the bucket is not in region ${c.region}: set the right one in the location's config.region`,
)
const skewed = retryable('S3ClockSkewed', () => "this machine's clock is too far from the store's: synchronize it")
const locked = terminal(
  'S3ObjectLocked',
  () =>
    'a lock (retention or legal hold) holds the object: where the bucket keeps no versions, use one without a default retention, or wait for the end of it',
)
const archived = terminal(
  'S3ObjectArchived',
  () => 'the object was moved to an archive class: restore it, and exclude plugins/dormouse/ from that lifecycle rule',
)
const unsupported = terminal('S3Unsupported', () => 'the store does not know a request that Dormouse needs')
const untrusted: Answer = (context, error) => {
  const unread = context.caCert === undefined ? undefined : unreadIn(context.caCert)
  if (unread !== undefined) return terminal('S3CaCertInvalid', () => unread)(context, error)
  const why = excerptOf(error.message, MOST_SERVER_CHARS)
  const fix = "put its CA into the location's caCert"
  return terminal('S3CertificateUntrusted', (c) => `the certificate of ${c.address} is not trusted: ${fix}: ${why}`)(
    context,
    error,
  )
}

/** As in Go, text that is no certificate is skipped; it is reported when it may be the missing authority. */
function unreadIn(caCert: string): string | undefined {
  const { certificates, unread } = readBundle(caCert)
  if (unread.length > 0)
    return `the store is not trusted, and certificate ${unread[0]} of the CA bundle (caCert) cannot be read: give it in PEM form`
  return certificates.length > 0
    ? undefined
    : 'the store is not trusted, and the CA bundle (caCert) holds no certificate: give it in PEM form'
}
const noCredentials = terminal(
  'S3CredentialsMissing',
  (c) => `no credentials were found (${c.credentialOrigin}): name a Secret in the location's credential`,
)

const BY_CODE: Record<string, Answer> = {
  AccessDenied: denied,
  AllAccessDisabled: denied,
  InvalidAccessKeyId: denied,
  SignatureDoesNotMatch: denied,
  InvalidToken: denied,
  // versitygw answers 404 with this code to an unknown access key.
  XAdminUserNotFound: denied,
  ExpiredToken: expired,
  TokenRefreshRequired: expired,
  NoSuchBucket: noBucket,
  SlowDown: slowDown,
  SlowDownRead: slowDown,
  SlowDownWrite: slowDown,
  Throttling: slowDown,
  ThrottlingException: slowDown,
  TooManyRequests: slowDown,
  RequestLimitExceeded: slowDown,
  XMinioStorageFull: full,
  XMinioAdminBucketQuotaExceeded: full,
  QuotaExceeded: full,
  InsufficientCapacity: full,
  InternalError: unavailable,
  ServiceUnavailable: unavailable,
  RequestTimeout: unavailable,
  OperationAborted: unavailable,
  ConditionalRequestConflict: unavailable,
  TemporaryRedirect: unavailable,
  BadDigest: damaged,
  IncompleteBody: damaged,
  PermanentRedirect: wrongRegion,
  AuthorizationHeaderMalformed: wrongRegion,
  IllegalLocationConstraintException: wrongRegion,
  RequestTimeTooSkewed: skewed,
  InvalidObjectState: archived,
  NotImplemented: unsupported,
  CredentialsProviderError: noCredentials,
}

const BY_STATUS: Record<number, Answer> = {
  301: wrongRegion,
  401: denied,
  403: denied,
  408: unavailable,
  409: unavailable,
  429: slowDown,
  501: unsupported,
  507: full,
}

/** Locks have no code of their own: `AccessDenied` with the first words (AWS, versitygw), `InvalidRequest` with the second (MinIO). */
const LOCKED = /protected by object lock|WORM protected/i

const MOST_SERVER_CHARS = 200

/**
 * Errors of the SDK about region, bucket and address before anything is sent. Most of them have neither a name nor a code of their own.
 */
const SETTINGS_NAMES = new Set(['EndpointError', 'InvalidBucketName'])
const SETTINGS_WORDS = /^Region (?:is missing|not accepted)|^Path-style addressing|SigV4a implementation/

/** Turns what was thrown into the error whose class says how to react. Dormouse's own errors pass through. */
export function translate(thrown: unknown, context: CallContext): Error {
  if (thrown instanceof DormouseErrorClass) return thrown
  if (thrown instanceof ForeignAnswer) return foreign(thrown.message, context, thrown)
  const error = (thrown instanceof Error ? thrown : new Error(String(thrown))) as SdkError
  shorten(error)
  const status = statusOf(error)
  if (status !== undefined) return fromAnswer(status, error, context)
  if (isDistrust(error)) return untrusted(context, error)
  const known = BY_CODE[error.name]
  if (known !== undefined) return known(context, error)
  if (isAboutSettings(error)) return refusedSettings(error, context)
  if (error instanceof ResponseError)
    return new TerminalError('S3Unsupported', `${context.what}: ${context.address}: ${error.message}`, { cause: error })
  if (isNetwork(error))
    return new RetryableError(
      'S3Unavailable',
      `${context.what}: ${context.address} cannot be reached: ${networkWords(error)}`,
      { cause: error },
    )
  // Neither the store nor the network caused this: it is a bug, and is shown as one.
  return error
}

function isAboutSettings({ name, code, message }: SdkError): boolean {
  return SETTINGS_NAMES.has(name) || code === 'ERR_INVALID_URL' || SETTINGS_WORDS.test(message.slice(0, 300))
}

function refusedSettings(cause: SdkError, { what, region, bucket, address }: CallContext): DormouseError {
  const settings = `region ${told(region)}, bucket ${told(bucket)} and s3Url (${excerptOf(address, 120)})`
  const message = `${what}: no request can be made of ${settings}: ${excerptOf(cause.message, MOST_SERVER_CHARS)}`
  return new TerminalError('RepositoryParametersInvalid', message, { cause })
}

function told(value: string): string {
  return JSON.stringify(excerptOf(value, 80))
}

/** A page of a proxy, a login or a web console, where the answer of an S3 store was expected. */
function foreign(why: string, { what, address }: CallContext, cause: Error): DormouseError {
  const message = `${what}: the answer of ${address} is not an S3 store's: ${why}. Does a proxy or a login page answer? Check s3Url`
  return new RetryableError('S3AnswerUnreadable', message, { cause })
}

/** Shortens the server's words before they are matched or shown. */
function shorten(error: SdkError): void {
  if (error.$metadata === undefined) return
  error.message = excerptOf(error.message, MOST_SERVER_CHARS)
  error.name = excerptOf(error.name, 60)
}

/** HTTP status of the store's answer; undefined: there was no answer. */
export function statusOf(error: unknown): number | undefined {
  return (error as SdkError)?.$metadata?.httpStatusCode
}

export function codeOf(error: Error): string {
  const status = statusOf(error)
  const code = (error as SdkError).code ?? error.name
  return status === undefined ? code : `${status} ${code}`
}

function fromAnswer(status: number, error: SdkError, context: CallContext): DormouseError {
  if (LOCKED.test(error.message)) return locked(context, error)
  const known = BY_CODE[error.name] ?? BY_STATUS[status]
  if (known !== undefined) return known(context, error)
  if (status >= 500) return unavailable(context, error)
  // An answer that the SDK could not read, or a redirect.
  if (status < 400) return foreign(`${codeOf(error)}: ${error.message}`, context, bare(error))
  return terminal('S3Refused', () => `the store refuses this request: ${error.message}`)(context, error)
}

/**
 * The SDK copies the store's whole answer onto its error: the id of an access key, the text that was signed, and so on. This keeps only
 * message, name, status and stack.
 */
function bare(error: SdkError): Error {
  if (error.$metadata === undefined) return error
  const kept = Object.assign(new Error(error.message), { name: error.name, status: error.$metadata.httpStatusCode })
  if (error.stack !== undefined) kept.stack = error.stack
  return kept
}

function isNetwork(error: SdkError): boolean {
  return error.code !== undefined || error.name === 'TimeoutError'
}

function networkWords(error: SdkError): string {
  if (error.code === 'EPROTO' || error.code?.startsWith('ERR_SSL_') === true)
    return 'it does not speak TLS there; is s3Url to begin with http://?'
  // Without path style, the host name begins with the bucket's name, which a private store's name server often does not know.
  if (error.code === 'ENOTFOUND') return `the name ${error.hostname} is unknown; is s3ForcePathStyle to be "true"?`
  return error.message === '' ? String(error.code) : excerptOf(error.message, 300)
}

function retryAfter(error: SdkError): { retryAfterSeconds?: number } {
  const seconds = Number(error.$response?.headers?.['retry-after'])
  return Number.isFinite(seconds) && seconds > 0 ? { retryAfterSeconds: Math.min(seconds, 3600) } : {}
}
