// How long a call of a server, and a request of a function, may take: the adapters end what takes longer. In one place, as the
// simulation ends its calls by the same numbers (docs/operations/waits.md, "Calls" and "Events").

import { MINUTE_MS, SECOND_MS } from './units.ts'

/** Of the Kubernetes API, from the request to the last byte of the answer. */
export const API_CALL_MS = 15 * SECOND_MS
/** Of vCenter, likewise: 100,000 changed areas are 7.4 MB of XML, and reading them off the disks takes vCenter its time. */
export const VCENTER_CALL_MS = 120 * SECOND_MS
/** Of an object store: without a byte in either direction. */
export const STORE_IDLE_MS = MINUTE_MS
/** How often a call of an object store is made in all, and how long it waits in between. */
export const STORE_RETRY = { attempts: 5, firstDelayMs: 200, maxDelayMs: 5 * SECOND_MS }
/** When the signal of a handler aborts: the default leaves a minute of a Knative request's 600 s. */
export const REQUEST_MS = 540 * SECOND_MS
