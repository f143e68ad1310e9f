// Errors by the reaction they ask for: retry, re-read, or give up. Reasons are listed in docs/operations/reasons.md.

/** `api`: the Kubernetes API, with the Leases that it keeps. */
export type ErrorOrigin = 'api'
export type ErrorOptionsWithDelay = { cause?: unknown; retryAfterSeconds?: number; origin?: ErrorOrigin }

/** Base of every error that Dormouse understands. `reason` is CamelCase and stable; `message` says what, where, with which input. */
export abstract class DormouseError extends Error {
  readonly reason: string
  /** Where it comes from, if anybody asks. */
  readonly origin: ErrorOrigin | undefined

  constructor(reason: string, message: string, options: ErrorOptionsWithDelay = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.reason = reason
    this.origin = options.origin
  }
}

/** The world may change: S3 503, API server away, vCenter busy. The status stays as it is; the event is delivered again. */
export class RetryableError extends DormouseError {
  readonly retryAfterSeconds: number | undefined

  constructor(reason: string, message: string, options: ErrorOptionsWithDelay = {}) {
    super(reason, message, options)
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** Someone wrote first: read again and decide again. Never shown to users. */
export class ConflictError extends DormouseError {}

/** Of a create: an object of that name is there. Any other conflict is for another attempt, such as a ResourceQuota that is counted anew. */
export function isNameTaken(error: unknown): error is ConflictError {
  return error instanceof ConflictError && error.reason === 'AlreadyExists'
}

/** No retry helps: bad spec, wrong key, missing thing that will not come. Written into the object's status with its reason. */
export class TerminalError extends DormouseError {}

/** The open disk has another size than was said. `diskBytes`: what it has. */
export class CapacityError extends TerminalError {
  readonly diskBytes: number

  constructor(reason: string, message: string, options: { diskBytes: number; cause?: unknown }) {
    super(reason, message, options)
    this.diskBytes = options.diskBytes
  }
}

/** Stored bytes are not what was written. Terminal, and always worth an alarm. */
export class CorruptionError extends TerminalError {}

/** The Kubernetes API is in trouble, or somebody else wrote first: says nothing about the work, whose outcome could not be written now either. */
export function isApiTrouble(error: unknown): boolean {
  return error instanceof ConflictError || (error instanceof DormouseError && error.origin === 'api')
}

/** What a catch clause got, as an Error (JavaScript lets anything be thrown). */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(`thrown value: ${textOf(thrown)}`)
}

/** Not everything that can be thrown has a text. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return 'without a text'
  }
}
