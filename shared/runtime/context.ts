// The input and the result of a function's handler.

import type { Logger } from './logger.ts'
import type { Cause, ObjectRef } from './ref.ts'

export type Context = {
  /** Already contains kind, namespace and name. */
  log: Logger
  /** Why the handler runs: for counting rescues, never for deciding. */
  cause: Cause
  /** The CloudEvent's id: for the log only, because several events may announce one change. */
  id: string
  /** Epoch milliseconds at which this run began. Longer work must read its own clock. */
  nowMs: number
}

/**
 * Reads the object, does at most one step, writes the status. Resolves to a few words for the log ("already Completed");
 * terminal errors are in the status by then. Throws RetryableError or ConflictError for "try again".
 * It may be called twice, concurrently, and in any order. `signal` aborts when it has to end.
 */
export type Handle = (context: Context, ref: ObjectRef, signal: AbortSignal) => Promise<string>
