// VDDK's error codes as Dormouse's errors (docs/development/vddk.md#error-codes).

import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { HTTP_FAILED, MEANINGS, type Meaning, OPEN_FAILED, UNKNOWN } from './meanings.ts'
import type { VixResult } from './signatures.ts'

export const VIX_OK = 0
export const HOST_USER_PERMISSIONS = 3014
export const OPERATION_DISABLED = 20005

/** Codes after which a new connection may help: a retry is better than the conclusion that the disk does not support the call. */
const CONNECTION_CODES = new Set([2, 26, 36, 14008, 14009, 14010, 14011, 14014, 14015, 16054, 18000])

export function codeOf(result: VixResult): number {
  return Number(BigInt(result) & 0xffffn)
}

export function isConnectionCode(code: number): boolean {
  return CONNECTION_CODES.has(code) || isHttpCode(code)
}

function isHttpCode(code: number): boolean {
  return code >= 30001 && code <= 30202
}

function meaningOf(code: number, call: string): Meaning {
  if (code === 1 && call === 'Open') return OPEN_FAILED
  return MEANINGS[code] ?? (isHttpCode(code) ? HTTP_FAILED : UNKNOWN)
}

/** `where` names the disk, `vddkText` is the library's own wording. Neither holds a password. */
export function vddkError(call: string, code: number, where: string, vddkText: string): RetryableError | TerminalError {
  const { reason, retryAfterSeconds, text, fix } = meaningOf(code, call)
  const message = `${call} ${where}: ${text} (VDDK code ${code}: ${vddkText}); ${fix}`
  if (retryAfterSeconds === undefined) return new TerminalError(reason, message)
  return new RetryableError(reason, message, { retryAfterSeconds })
}
