// A CloudEvent on its way through the router: attributes and body pass unchanged, and the router does not interpret them.

import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

export type RoutedEvent = {
  /** `id`, `type`, `source`, …, extensions included; all as strings. */
  attributes: Record<string, string>
  contentType: string | undefined
  body: Buffer
}

const STRUCTURED = 'application/cloudevents+json'

/** undefined: the request has no CloudEvent (binary or structured mode, HTTP binding 1.0). */
export function eventFrom(headers: IncomingHttpHeaders, body: Buffer): RoutedEvent | undefined {
  const contentType = headers['content-type']
  if (contentType?.startsWith(STRUCTURED) === true) return fromStructured(body)
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    // A header may exist and be empty, such as the namespace of a cluster-scoped object.
    if (name.startsWith('ce-') && typeof value === 'string') attributes[name.slice(3)] = decodeURIComponent(value)
  }
  return isComplete(attributes) ? { attributes, contentType, body } : undefined
}

export function headersOf(event: RoutedEvent): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(event.attributes)) headers[`ce-${name}`] = encodeURI(value)
  if (event.contentType !== undefined) headers['content-type'] = event.contentType
  return headers
}

export function newEvent(attributes: Record<string, string>, contentType?: string, body = ''): RoutedEvent {
  const time = new Date().toISOString()
  return {
    attributes: { specversion: '1.0', id: randomUUID(), time, ...attributes },
    contentType,
    body: Buffer.from(body),
  }
}

function fromStructured(body: Buffer): RoutedEvent | undefined {
  const { data, data_base64: base64, datacontenttype, ...rest } = JSON.parse(body.toString('utf8'))
  const attributes = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, String(value)]))
  if (!isComplete(attributes)) return undefined
  const bytes = base64 === undefined ? Buffer.from(JSON.stringify(data ?? null)) : Buffer.from(base64, 'base64')
  return { attributes, contentType: datacontenttype ?? 'application/json', body: bytes }
}

function isComplete(attributes: Record<string, string>): boolean {
  return ['specversion', 'id', 'type', 'source'].every((name) => attributes[name] !== undefined)
}
