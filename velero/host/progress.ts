// Progress of an operation in the form that Velero needs. Velero fails an operation for good when Progress answers with a gRPC error,
// so a transient error is reported inside of a progress; and a response without a progress ends the Velero server.

import { TerminalError } from '#shared/kernel/errors.ts'
import { MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import type { OperationProgress } from '../actions.ts'
import { errorWords, readableError } from './error-words.ts'
import type { Message } from './messages.ts'

/** Velero asks again every ten seconds; a late answer delays all other operations of the backup. */
export const PROGRESS_LIMIT_MS = MINUTE_MS

/** Go's zero time, 1 January of the year 1. A missing Timestamp would be read as 1970, which is "started". */
const ZERO_TIME_SECONDS = -62_135_596_800

/**
 * The progress for an action that threw. Only an error that no retry can fix ends the operation. A bug does not: it may affect only one poll,
 * and the operation's time-out limits it.
 */
export function progressOfError(thrown: unknown): OperationProgress {
  const error = readableError(thrown)
  const words = errorWords(error)
  const completed = error instanceof TerminalError
  return {
    completed,
    error: completed ? words : '',
    nCompleted: 0,
    nTotal: 0,
    operationUnits: '',
    description: completed ? '' : `progress is not known: ${words}`,
    startedMs: undefined,
    updatedMs: undefined,
  }
}

export function wireProgress(progress: OperationProgress): Message<'generated.OperationProgress'> {
  const { completed, error, nCompleted, nTotal, operationUnits, description, startedMs, updatedMs } = progress
  return {
    completed,
    err: error.toWellFormed(), // Go takes no message with half a character, and Velero would end the operation
    nCompleted: wholeNumber(nCompleted),
    nTotal: wholeNumber(nTotal),
    operationUnits,
    description: description.toWellFormed(),
    started: wireTime(startedMs),
    updated: wireTime(updatedMs),
  }
}

function wholeNumber(count: number): number {
  return Number.isFinite(count) ? Math.trunc(count) : 0
}

function wireTime(epochMs: number | undefined): Message<'google.protobuf.Timestamp'> {
  if (epochMs === undefined || !Number.isFinite(epochMs)) return { seconds: ZERO_TIME_SECONDS, nanos: 0 }
  const seconds = Math.floor(epochMs / SECOND_MS)
  return { seconds, nanos: Math.floor((epochMs - seconds * SECOND_MS) * 1e6) }
}
