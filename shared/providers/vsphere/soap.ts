// SOAP 1.1 calls to vCenter's services, written by hand: no WSDL may be shipped, and twenty methods do not need one.

import { asError, RetryableError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import type { VCenter } from './config.ts'
import { HTTPS_LIMITS, HttpsConnection, type HttpsLimits } from './https.ts'
import {
  childOf,
  element,
  textOf,
  typeOf,
  type Xml,
  type XmlContent,
  type XmlObject,
  XmlReader,
  type XmlValue,
} from './xml.ts'

/** `action` names the API version; vim25 6.7.3 is 6.7 U3, the oldest that Dormouse supports. */
type Service = { path: string; namespace: string; action: string }
export const VIM: Service = { path: '/sdk', namespace: 'urn:vim25', action: 'urn:vim25/6.7.3' }
export const VSLM: Service = { path: '/vslm/sdk', namespace: 'urn:vslm', action: 'urn:vslm/1.0' }

/** A managed object reference. */
export type Moref = { type: string; id: string }

export type SoapCall = {
  service: Service
  method: string
  on: Moref
  parameters?: XmlContent[]
  /** Value of `vmware_soap_session`: vim25 takes it as HTTP cookie, vslm as SOAP header. */
  session?: string
  /** Doing it twice has the same effect as doing it once. */
  repeatable: boolean
}

export type SoapAnswer = {
  /** `<method>Response`; its children are `returnval`. */
  response: XmlObject
  /** A new session's cookie value. */
  session: string | undefined
  thumbprintSha1: string
  thumbprintSha256: string
}

/** A fault as vCenter returned it, from a call or at a task's end. It stays inside this folder: faults.ts turns it into an error. */
export class VSphereFault extends Error {
  /** Bare type, such as `InvalidState`. */
  readonly fault: string
  readonly detail: XmlObject | undefined

  constructor(fault: string, message: string, detail: XmlObject | undefined) {
    super(message)
    this.fault = fault
    this.detail = detail
  }
}

export class SoapConnection {
  readonly #vcenter: VCenter
  readonly #https: HttpsConnection

  constructor(vcenter: VCenter, limits: HttpsLimits = HTTPS_LIMITS) {
    this.#vcenter = vcenter
    this.#https = new HttpsConnection(vcenter, limits)
  }

  /** Throws VSphereFault, or RetryableError with VCenterUnreachable, VCenterCertificateUntrusted or VCenterAnswerUnreadable. */
  async call(call: SoapCall): Promise<SoapAnswer> {
    const { service, method, session } = call
    const reader = new XmlReader()
    const headers = {
      'content-type': 'text/xml; charset=utf-8',
      soapaction: `"${service.action}"`,
      ...(session === undefined || service !== VIM ? {} : { cookie: `${SESSION_COOKIE}=${session}` }),
    }
    const isSoap = (status: number) => status === 200 || status === 500
    const feed = (bytes: Uint8Array, status: number) => {
      if (isSoap(status)) this.#readable(method, () => reader.push(bytes))
    }
    const answer = await this.#https.post(service.path, headers, envelopeOf(call), feed, call.repeatable)
    if (!isSoap(answer.status)) {
      // While vCenter starts or stops, its proxy answers with these: 404, 502, 503.
      const what = `vCenter ${this.#vcenter.host} answers ${method} at ${service.path} with HTTP ${answer.status}`
      throw new RetryableError('VCenterUnreachable', what)
    }
    const envelope = childOf(
      this.#readable(method, () => reader.end()),
      'Envelope',
    )
    const body = childOf(envelope, 'Body')
    const fault = childOf(body, 'Fault')
    if (fault !== undefined) throw faultOf(fault)
    const response = childOf(body, `${method}Response`)
    // An answer without a value is a leaf.
    if (response === undefined && textOf(body, `${method}Response`) === undefined) {
      throw this.#unreadable(method, new Error(`there is no ${method}Response in it`))
    }
    const { thumbprintSha1, thumbprintSha256 } = answer
    return { response: response ?? {}, session: sessionOf(answer.cookies), thumbprintSha1, thumbprintSha256 }
  }

  close(): void {
    this.#https.close()
  }

  #readable<T>(method: string, read: () => T): T {
    try {
      return read()
    } catch (error) {
      throw this.#unreadable(method, asError(error))
    }
  }

  #unreadable(method: string, cause: Error): RetryableError {
    const what = `vCenter ${this.#vcenter.host} answers ${method} with something that is not SOAP: ${excerptOf(cause.message, 200)}`
    // Without the cause, because it quotes the answer.
    return new RetryableError('VCenterAnswerUnreadable', what)
  }
}

const SESSION_COOKIE = 'vmware_soap_session'

function envelopeOf(call: SoapCall): string {
  const { service, method, on, session, parameters = [] } = call
  const header = session === undefined || service === VIM ? undefined : element('vcSessionCookie', {}, session)
  const envelope = element(
    'soapenv:Envelope',
    {
      'xmlns:soapenv': 'http://schemas.xmlsoap.org/soap/envelope/',
      'xmlns:xsi': 'http://www.w3.org/2001/XMLSchema-instance',
    },
    header === undefined ? undefined : element('soapenv:Header', {}, header),
    element(
      'soapenv:Body',
      {},
      element(method, { xmlns: service.namespace }, morefElement('_this', on), ...parameters),
    ),
  )
  return `<?xml version="1.0" encoding="UTF-8"?>${envelope.text}`
}

export function morefElement(name: string, { type, id }: Moref): Xml {
  return element(name, { type }, id)
}

/** A reference as vCenter writes it: `<datastore type="Datastore">datastore-59</datastore>`. */
export function morefOf(value: XmlValue | undefined, name: string): Moref | undefined {
  const type = textOf(childOf(value, name), '@type')
  const id = textOf(value, name)
  return type === undefined || id === undefined || id === '' ? undefined : { type, id }
}

/** `<detail><InvalidLoginFault xsi:type="InvalidLogin">`; the simulator calls the element `Fault`. */
function faultOf(fault: XmlObject): VSphereFault {
  const text = textOf(fault, 'faultstring') ?? ''
  const detail = childOf(fault, 'detail')
  for (const [name, value] of Object.entries(detail ?? {})) {
    if (name.startsWith('@') || name.startsWith('$') || Array.isArray(value)) continue
    return new VSphereFault(
      typeOf(value) ?? name.replace(/Fault$/, ''),
      text,
      typeof value === 'object' ? value : undefined,
    )
  }
  return new VSphereFault(textOf(fault, 'faultcode')?.split(':').at(-1) ?? 'Fault', text, undefined)
}

/** vCenter puts the value in quotes, the simulator does not. */
function sessionOf(cookies: string[]): string | undefined {
  for (const cookie of cookies) {
    const found = /^\s*vmware_soap_session="?([^";]+)"?/.exec(cookie)
    if (found !== null) return found[1]
  }
  return undefined
}
