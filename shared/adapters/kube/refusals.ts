// Maps the API server's refusals to errors. https://kubernetes.io/docs/reference/using-api/api-concepts/

import type { KindName } from '#shared/api/kinds.ts'
import { ConflictError, type DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import type { ApiAnswer } from './exchange.ts'

/** Describes the request, for a message. */
export type Attempt = {
  verb: 'get' | 'list' | 'create' | 'patch' | 'patch status of' | 'delete'
  kind: KindName
  namespace: string | undefined
  name: string | undefined
}

/** The fields of a `Status` that are used. */
type Status = {
  kind?: string
  reason?: string
  message?: string
  details?: { kind?: string; causes?: { reason?: string; field?: string }[] }
}

const API = { origin: 'api' } as const

/** The server's message about an invalid object may be as long as the object. */
const MOST_WORDS = 800

/** The server knows the kind and has no such object; false if it does not serve the kind (yet). */
export function saysNotFound(answer: ApiAnswer): boolean {
  const { kind, reason } = statusOf(answer)
  return answer.status === 404 && kind === 'Status' && reason === 'NotFound'
}

export function requireSuccess(answer: ApiAnswer, attempt: Attempt): void {
  if (answer.status < 200 || answer.status >= 300) throw errorOf(answer, attempt)
}

function errorOf(answer: ApiAnswer, attempt: Attempt): DormouseError {
  const { status, retryAfterSeconds } = answer
  const words = statusOf(answer).message
  const message = `${attemptText(attempt)}: ${status} ${typeof words === 'string' ? excerptOf(words, MOST_WORDS) : 'without a reason'}`
  if (status < 400) return new RetryableError('KubernetesAnswerUnreadable', `${message}. Does a proxy answer?`, API)
  if (status === 409) return new ConflictError(conflictReason(answer), message)
  if (status === 422 && isOtherObject(answer)) return new ConflictError('Conflict', message)
  if (status === 404) return notFound(answer, attempt, message)
  if (status === 403) return new TerminalError(forbiddenReason(answer), message)
  // 413: longer than the server accepts. All three are caused by the request's body.
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

/** The patch contained the UID that was seen: an object of that name was deleted and created again. */
function isOtherObject(answer: ApiAnswer): boolean {
  return causesIn(answer).some(({ field }) => field === 'metadata.uid')
}

/**
 * If a right is missing, the message comes from the authorizer and contains the user. All other messages are about the namespace: it is being
 * deleted, its ResourceQuota is used up (or not counted yet), or admission refuses the request, for example because of a LimitRange.
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

/** A policy may use these codes, too. */
function invalidReason(answer: ApiAnswer): 'AdmissionDenied' | 'InvalidObject' {
  return isDenied(wordsOf(answer)) ? 'AdmissionDenied' : 'InvalidObject'
}

/** ValidatingAdmissionPolicies and webhooks. */
function isDenied(words: string): boolean {
  return /(ValidatingAdmissionPolicy '[^']*' with binding '[^']*'|admission webhook "[^"]*") denied (the )?request/.test(
    words,
  )
}

/** Bounded; the text that distinguishes the reasons is at the beginning. */
function wordsOf(answer: ApiAnswer): string {
  const { message } = statusOf(answer)
  return typeof message === 'string' ? message.slice(0, MOST_WORDS) : ''
}

function notFound(answer: ApiAnswer, { verb }: Attempt, message: string): DormouseError {
  // A kind that is not served: its CRD is being installed, or will be.
  if (!saysNotFound(answer)) return new RetryableError('KubernetesKindMissing', message, API)
  if (verb === 'create') return new TerminalError('NamespaceNotFound', message)
  return new ConflictError('NotFound', message) // deleted since it was read: read it again, decide again
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
