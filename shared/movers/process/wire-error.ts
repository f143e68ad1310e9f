// Errors that cross a process or thread boundary: the class decides how to react, so it must be preserved.

import {
  asError,
  CapacityError,
  ConflictError,
  CorruptionError,
  RetryableError,
  reasonIn,
  TerminalError,
} from '#shared/kernel/errors.ts'

const CLASSES = { RetryableError, ConflictError, CorruptionError, TerminalError } as const

export type WireError = {
  class: keyof typeof CLASSES | 'Error'
  reason: string
  message: string
  retryAfterSeconds: number | undefined
  /** Of a CapacityError. */
  diskBytes?: number | undefined
  /** The stack on the other side, for the log. */
  stack: string | undefined
}

export function toWire(thrown: unknown): WireError {
  const error = asError(thrown)
  return {
    class: classOf(error),
    reason: reasonIn(error),
    message: error.message,
    retryAfterSeconds: error instanceof RetryableError ? error.retryAfterSeconds : undefined,
    ...(error instanceof CapacityError ? { diskBytes: error.diskBytes } : {}),
    stack: error.cause === undefined ? error.stack : `${error.stack}\ncaused by ${asError(error.cause).stack}`,
  }
}

/** Restores the same class; the other side's error becomes the cause. */
export function fromWire(wire: WireError): Error {
  const cause = new Error(wire.message)
  if (wire.stack !== undefined) cause.stack = wire.stack
  if (wire.diskBytes !== undefined)
    return new CapacityError(wire.reason, wire.message, { cause, diskBytes: wire.diskBytes })
  if (wire.class === 'Error') return new Error(wire.message, { cause })
  if (wire.class === 'RetryableError' && wire.retryAfterSeconds !== undefined) {
    return new RetryableError(wire.reason, wire.message, { cause, retryAfterSeconds: wire.retryAfterSeconds })
  }
  return new CLASSES[wire.class](wire.reason, wire.message, { cause })
}

function classOf(error: Error): WireError['class'] {
  // CorruptionError before TerminalError, because it is a subclass of it.
  const names = ['RetryableError', 'ConflictError', 'CorruptionError', 'TerminalError'] as const
  return names.find((name) => error instanceof CLASSES[name]) ?? 'Error'
}
