// Time limits of calls to servers and of requests to functions: the adapters abort calls that take longer. They are in one place because
// the simulation ends its calls by the same numbers (docs/operations/waits.md, "Calls" and "Events").

import { MINUTE_MS, SECOND_MS } from './units.ts'

/** For the Kubernetes API, from the request to the last byte of the answer. */
export const API_CALL_MS = 15 * SECOND_MS
/** For vCenter, likewise: 100,000 changed areas are 7.4 MB of XML, and vCenter needs time to read them off the disks. */
export const VCENTER_CALL_MS = 120 * SECOND_MS
/** For an object store: time without a byte in either direction. */
export const STORE_IDLE_MS = MINUTE_MS
/** Attempts for each call of an object store in all, and the delays in between. */
export const STORE_RETRY = { attempts: 5, firstDelayMs: 200, maxDelayMs: 5 * SECOND_MS }
/** When the signal of a handler aborts: the default leaves a minute of a Knative request's 600 s. */
export const REQUEST_MS = 540 * SECOND_MS
