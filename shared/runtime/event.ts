// Reads a CloudEvent's attributes from an HTTP request.

import type { IncomingHttpHeaders } from 'node:http'
import { BadEvent, type EventAttributes } from './ref.ts'

/** Longer attributes are invalid: a name has 253 characters at most, a subject or source holds a few of them. */
const ATTRIBUTE_MAX_CHARS = 1024
const REQUIRED = ['specversion', 'id', 'source', 'type'] as const

/** By its headers alone; a batch is refused later with a message of its own. */
export function mayBeEvent(headers: IncomingHttpHeaders): boolean {
  return /^application\/cloudevents\b/i.test(headers['content-type'] ?? '') || headers['ce-specversion'] !== undefined
}

/** Throws BadEvent when the request holds no event. The caller must still pass the result to checkEvent. */
export async function eventFromRequest(headers: IncomingHttpHeaders, body: string): Promise<EventAttributes> {
  const contentType = headers['content-type'] ?? ''
  if (/^application\/cloudevents-batch\b/i.test(contentType)) throw new BadEvent('batches are not taken')
  const structured = /^application\/cloudevents\b/i.test(contentType)
  return structured ? await structuredEvent(headers, body) : binaryEvent(headers)
}

/** Throws BadEvent unless it is a CloudEvent of version 1.0. The CloudEvents package does not check this itself. */
export function checkEvent(event: EventAttributes): void {
  for (const field of REQUIRED) {
    const value = event[field]
    if (typeof value !== 'string' || value === '' || value.length > ATTRIBUTE_MAX_CHARS) {
      throw new BadEvent(`attribute ${field} is missing or is no text of at most ${ATTRIBUTE_MAX_CHARS} characters`)
    }
  }
  if (event['specversion'] !== '1.0') throw new BadEvent('specversion is not 1.0')
}

/**
 * Every sender in Knative uses binary mode, where the attributes are headers and the data is not needed. Parsing them
 * here keeps the CloudEvents package (60 ms with its JSON schema compiler) out of a cold start.
 */
function binaryEvent(headers: IncomingHttpHeaders): EventAttributes {
  const attributes = Object.entries(headers).filter(([header]) => header.startsWith('ce-'))
  return Object.fromEntries(attributes.map(([header, value]) => [header.slice('ce-'.length), value]))
}

/**
 * Structured mode is left to the package. None of its methods may be called on the result: an extension with the same
 * name, such as `validate`, replaces the method.
 */
async function structuredEvent(headers: IncomingHttpHeaders, body: string): Promise<EventAttributes> {
  const { HTTP } = await import('cloudevents')
  try {
    return { ...HTTP.toEvent({ headers: { 'content-type': headers['content-type'] }, body }) }
  } catch (cause) {
    throw new BadEvent('structured event cannot be read', { cause })
  }
}
