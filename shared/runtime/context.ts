// What a function's handler is given and what it gives back.

import type { Logger } from './logger.ts'
import type { Cause, ObjectRef } from './ref.ts'

export type Context = {
  /** Carries kind, namespace and name already. */
  log: Logger
  /** Why the handler runs: for counting rescues, never for deciding. */
  cause: Cause
  /** The CloudEvent's id: for the log only, one change may come under several. */
  id: string
  /** Epoch milliseconds at which this run began. Longer work asks its own clock. */
  nowMs: number
}

/**
 * Reads the object, does at most one step, writes the status. Resolves to a few words for the log ("already Completed");
 * terminal problems are in the status by then. Throws RetryableError or ConflictError for "try again".
 * It may be called twice, at the same time, and in any order. `signal` aborts when it has to come to an end.
 */
export type Handle = (context: Context, ref: ObjectRef, signal: AbortSignal) => Promise<string>
