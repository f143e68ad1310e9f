// What the API server's refusals mean. https://kubernetes.io/docs/reference/using-api/api-concepts/

import type { KindName } from '#shared/api/kinds.ts'
import { ConflictError, type DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import type { ApiAnswer } from './exchange.ts'

/** What was asked for, in words for a message. */
export type Attempt = {
  verb: 'get' | 'list' | 'create' | 'patch' | 'patch status of' | 'delete'
  kind: KindName
  namespace: string | undefined
  name: string | undefined
}

/** The part of a `Status` that is looked at. */
type Status = {
  kind?: string
  reason?: string
  message?: string
  details?: { kind?: string; causes?: { reason?: string; field?: string }[] }
}

const API = { origin: 'api' } as const

/** The server's words about an invalid object may be as long as the object. */
const MOST_WORDS = 800

/** The server knows the kind and has no such object, as against not serving the kind (yet). */
export function saysNotFound(answer: ApiAnswer): boolean {
  const { kind, reason } = statusOf(answer)
  return answer.status === 404 && kind === 'Status' && reason === 'NotFound'
}

export function requireSuccess(answer: ApiAnswer, attempt: Attempt): void {
  if (answer.status < 200 || answer.status >= 300) throw errorOf(answer, attempt)
}

export function errorOf(answer: ApiAnswer, attempt: Attempt): DormouseError {
  const { status, retryAfterSeconds } = answer
  const words = statusOf(answer).message
  const message = `${attemptText(attempt)}: ${status} ${typeof words === 'string' ? excerptOf(words, MOST_WORDS) : 'without a reason'}`
  if (status < 400) return new RetryableError('KubernetesAnswerUnreadable', `${message}. Does a proxy answer?`, API)
  if (status === 409) return new ConflictError(conflictReason(answer), message)
  if (status === 422 && isOtherObject(answer)) return new ConflictError('Conflict', message)
  if (status === 404) return notFound(answer, attempt, message)
  if (status === 403) return new TerminalError(forbiddenReason(answer), message)
  // 413: longer than the server takes. All three are about what was sent.
  if (status === 400 || status === 413 || status === 422) return new TerminalError(invalidReason(answer), message)
  if (status === 401 || status === 410 || status === 429 || status >= 500) {
    return new RetryableError(
      'KubernetesUnavailable',
      message,
      retryAfterSeconds === undefined ? API : { ...API, retryAfterSeconds },
    )
  }
  return new TerminalError('KubernetesRefused', message, API)
}

function conflictReason(answer: ApiAnswer): string {
  return statusOf(answer).reason === 'AlreadyExists' ? 'AlreadyExists' : 'Conflict'
}

/** The patch carried the UID that was seen: an object of that name was deleted and made again. */
function isOtherObject(answer: ApiAnswer): boolean {
  return causesIn(answer).some(({ field }) => field === 'metadata.uid')
}

/**
 * A right that is missing is the authorizer's word, with the user in it. All else is what the namespace itself says: it is going away, its
 * ResourceQuota is used up (or not counted yet), or something else of admission is against it, such as a LimitRange.
 */
function forbiddenReason(
  answer: ApiAnswer,
): 'NamespaceTerminating' | 'QuotaExceeded' | 'AdmissionDenied' | 'Forbidden' {
  if (causesIn(answer).some(({ reason }) => reason === 'NamespaceTerminating')) return 'NamespaceTerminating'
  const words = wordsOf(answer)
  if (/ is forbidden: (exceeded quota|status unknown for quota|insufficient quota)/.test(words)) return 'QuotaExceeded'
  if (isDenied(words)) return 'AdmissionDenied'
  return / is forbidden: (?!User ")/.test(words) ? 'AdmissionDenied' : 'Forbidden'
}

/** A policy may choose these codes, too. */
function invalidReason(answer: ApiAnswer): 'AdmissionDenied' | 'InvalidObject' {
  return isDenied(wordsOf(answer)) ? 'AdmissionDenied' : 'InvalidObject'
}

/** ValidatingAdmissionPolicies and webhooks. */
function isDenied(words: string): boolean {
  return /(ValidatingAdmissionPolicy '[^']*' with binding '[^']*'|admission webhook "[^"]*") denied (the )?request/.test(
    words,
  )
}

/** Bounded; what tells the reasons apart stands at the beginning. */
function wordsOf(answer: ApiAnswer): string {
  const { message } = statusOf(answer)
  return typeof message === 'string' ? message.slice(0, MOST_WORDS) : ''
}

function notFound(answer: ApiAnswer, { verb }: Attempt, message: string): DormouseError {
  // A kind that is not served: its CRD is being installed, or will be.
  if (!saysNotFound(answer)) return new RetryableError('KubernetesKindMissing', message, API)
  if (verb === 'create') return new TerminalError('NamespaceNotFound', message)
  return new ConflictError('NotFound', message) // gone since it was read: read it again, decide again
}

function causesIn(answer: ApiAnswer): { reason?: string; field?: string }[] {
  const causes: unknown = statusOf(answer).details?.causes
  return Array.isArray(causes) ? (causes as { reason?: string; field?: string }[]).filter((cause) => cause) : []
}

function statusOf({ body }: ApiAnswer): Status {
  return typeof body === 'object' && body !== null ? body : {}
}

export function attemptText({ verb, kind, namespace, name }: Attempt): string {
  return `${verb} ${kind} ${[namespace, name].filter((part) => part !== undefined).join('/')}`.trimEnd()
}
