// Errors, classified by what another attempt may change. Which reaction follows also depends on the reason, by lists of each step
// (CONTRIBUTING.md#how-to-add). Reasons are explained in docs/operations/reasons.md.

/** `api`: the Kubernetes API, including the Leases that it stores. */
type ErrorOrigin = 'api'
type ErrorOptionsWithDelay = { cause?: unknown; retryAfterSeconds?: number; origin?: ErrorOrigin }

/** Base of every error that Dormouse understands. `reason` is CamelCase and stable; `message` says what, where, with which input. */
export abstract class DormouseError extends Error {
  readonly reason: string
  /** The origin of the error, for code that distinguishes it. */
  readonly origin: ErrorOrigin | undefined

  constructor(reason: string, message: string, options: ErrorOptionsWithDelay = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.reason = reason
    this.origin = options.origin
  }
}

/** The reason that is shown for an error. `InternalError`: it carries none, so it is a fault of Dormouse (docs/operations/reasons.md). */
export function reasonIn(error: Error): string {
  return error instanceof DormouseError ? error.reason : 'InternalError'
}

/**
 * The cause may go away: S3 503, API server away, vCenter busy. A step writes the reason into the object's status and plans its next
 * attempt. Only an error that leaves the function, such as one of the Kubernetes API, makes its event be delivered again.
 */
export class RetryableError extends DormouseError {
  readonly retryAfterSeconds: number | undefined

  constructor(reason: string, message: string, options: ErrorOptionsWithDelay = {}) {
    super(reason, message, options)
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** Another writer was first: read again and decide again. Never shown to users. */
export class ConflictError extends DormouseError {}

/** True if a create found an object of that name. Any other conflict needs another attempt, such as a ResourceQuota that is counted anew. */
export function isNameTaken(error: unknown): error is ConflictError {
  return error instanceof ConflictError && error.reason === 'AlreadyExists'
}

/**
 * The same attempt would fail again until somebody changes something: bad spec, wrong key, an object that is missing. A step writes it
 * into the object's status with its reason. Transfers and deletions still retry it, unless one of their lists says that its reason ends
 * them.
 */
export class TerminalError extends DormouseError {}

/** The open disk has another size than expected. `diskBytes`: its actual size. */
export class CapacityError extends TerminalError {
  readonly diskBytes: number

  constructor(reason: string, message: string, options: { diskBytes: number; cause?: unknown }) {
    super(reason, message, options)
    this.diskBytes = options.diskBytes
  }
}

/** Stored bytes differ from what was written. Terminal, and always worth an alarm. */
export class CorruptionError extends TerminalError {}

/**
 * The Kubernetes API has failed, or another writer was first: this says nothing about the work, whose outcome could not be written now
 * either.
 */
export function isApiTrouble(error: unknown): boolean {
  return error instanceof ConflictError || (error instanceof DormouseError && error.origin === 'api')
}

/** The value of a catch clause as an Error (JavaScript allows any value to be thrown). */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(`thrown value: ${textOf(thrown)}`)
}

/** Some thrown values cannot be converted to text. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return 'without a text'
  }
}
