// One login at one vCenter, shared by all calls: made when it is first needed, renewed when it has expired, given back at the end.
//
// vCenter allows a limited number of sessions, and its single sign-on locks an account after a few wrong passwords (five within three
// minutes by default); a function that scales to zero must respect both.

import type { Clock } from '#shared/kernel/clock.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import type { VCenter } from './config.ts'
import { errorOf } from './faults.ts'
import { type Moref, morefOf, type SoapAnswer, type SoapCall, SoapConnection, VIM, VSLM, VSphereFault } from './soap.ts'
import { childOf, element, textOf, type XmlObject } from './xml.ts'

/** At most three wrong logins in three minutes for each process; a changed Secret makes a new Session, which does not wait. */
const REFUSED_LOGIN_PAUSE_MS = MINUTE_MS

const SERVICE_INSTANCE: Moref = { type: 'ServiceInstance', id: 'ServiceInstance' }
const VSLM_INSTANCE: Moref = { type: 'VslmServiceInstance', id: 'ServiceInstance' }

/** What vCenter says about itself before a login. */
type ServiceContent = { about: XmlObject; sessionManager: Moref; authorizationManager: Moref; rootFolder: Moref }

type Login = { token: string; key: string; content: ServiceContent; disks?: Moref }

export class Session {
  readonly #vcenter: VCenter
  readonly #soap: SoapConnection
  readonly #clock: Clock
  #login: Promise<Login> | undefined
  #refused: { error: Error; untilMs: number } | undefined
  #closed = false

  constructor(vcenter: VCenter, clock: Clock, soap = new SoapConnection(vcenter)) {
    this.#vcenter = vcenter
    this.#clock = clock
    this.#soap = soap
  }

  /** A call with this session. Throws a VSphereFault for the caller to interpret, otherwise Dormouse's errors. */
  call(call: Omit<SoapCall, 'session'>): Promise<SoapAnswer> {
    return this.#withLogin((login) => this.#soap.call({ ...call, session: login.token }))
  }

  /** The vslm object that knows all disks of this vCenter. */
  disks(): Promise<Moref> {
    return this.#withLogin(async (login) => {
      login.disks ??= await this.#findDisks(login.token)
      return login.disks
    })
  }

  /** Logs in when needed. `key` names the session to vCenter; it is not its secret. */
  async identity(): Promise<{ key: string; content: ServiceContent }> {
    const { key, content } = await this.#loggedIn()
    return { key, content }
  }

  /** Gives the session back. If vCenter cannot be reached, the session expires on its own. */
  async close(): Promise<void> {
    this.#closed = true
    const login = await this.#login?.catch(() => undefined)
    this.#login = undefined
    if (login !== undefined) {
      const logout = {
        service: VIM,
        method: 'Logout',
        on: login.content.sessionManager,
        session: login.token,
        repeatable: true,
      }
      await this.#soap.call(logout).catch(() => undefined)
    }
    this.#soap.close()
  }

  async #withLogin<T>(act: (login: Login) => Promise<T>): Promise<T> {
    const first = this.#loggedIn()
    try {
      return await act(await first)
    } catch (error) {
      if (!isExpired(error)) throw error
    }
    // The call was refused before anything was done, so even a call that is not repeatable may be made again. The first caller forgets
    // the login; the others find the new one.
    if (this.#login === first) this.#login = undefined
    return act(await this.#loggedIn())
  }

  /** The current login: concurrent callers share it. */
  #loggedIn(): Promise<Login> {
    const { host } = this.#vcenter
    if (this.#closed) {
      return Promise.reject(
        new RetryableError('VCenterSessionExpired', `the session at vCenter ${host} was given back`),
      )
    }
    if (this.#refused !== undefined && this.#clock.monotonicMs() < this.#refused.untilMs) {
      return Promise.reject(this.#refused.error)
    }
    if (this.#login !== undefined) return this.#login
    const attempt = this.#logIn()
    this.#login = attempt
    attempt.catch(() => {
      if (this.#login === attempt) this.#login = undefined
    })
    return attempt
  }

  async #logIn(): Promise<Login> {
    const content = await this.#serviceContent()
    try {
      const { user, password } = this.#vcenter
      const parameters = [element('userName', {}, user), element('password', {}, password)]
      const login = { service: VIM, method: 'Login', on: content.sessionManager, parameters, repeatable: false }
      const { response, session } = await this.#soap.call(login)
      const key = textOf(childOf(response, 'returnval'), 'key')
      if (session !== undefined && key !== undefined) return { token: session, key, content }
    } catch (error) {
      throw this.#refusal(error)
    }
    throw new RetryableError(
      'VCenterAnswerUnreadable',
      `vCenter ${this.#vcenter.host} accepts the login but names no session`,
    )
  }

  #refusal(thrown: unknown): Error {
    const { host, user } = this.#vcenter
    const error = errorOf(thrown, host, `log in ${user}`)
    if (!(error instanceof RetryableError) || error.reason !== 'VCenterLoginFailed') return error
    const told = new RetryableError(error.reason, `${error.message}; correct user and password in the Secret`, {
      cause: thrown,
      retryAfterSeconds: REFUSED_LOGIN_PAUSE_MS / SECOND_MS,
    })
    this.#refused = { error: told, untilMs: this.#clock.monotonicMs() + REFUSED_LOGIN_PAUSE_MS }
    return told
  }

  async #serviceContent(): Promise<ServiceContent> {
    const call = { service: VIM, method: 'RetrieveServiceContent', on: SERVICE_INSTANCE, repeatable: true }
    const content = childOf((await this.#faultless(call, 'describe itself')).response, 'returnval')
    const about = childOf(content, 'about')
    const sessionManager = morefOf(content, 'sessionManager')
    const authorizationManager = morefOf(content, 'authorizationManager')
    const rootFolder = morefOf(content, 'rootFolder')
    if (!about || !sessionManager || !authorizationManager || !rootFolder) {
      throw new RetryableError('VCenterAnswerUnreadable', `${this.#vcenter.host} does not describe itself as a vCenter`)
    }
    return { about, sessionManager, authorizationManager, rootFolder }
  }

  async #findDisks(session: string): Promise<Moref> {
    const call = { service: VSLM, method: 'RetrieveContent', on: VSLM_INSTANCE, session, repeatable: true }
    const disks = morefOf(childOf((await this.#soap.call(call)).response, 'returnval'), 'vStorageObjectManager')
    if (disks !== undefined) return disks
    throw new RetryableError(
      'VCenterAnswerUnreadable',
      `vCenter ${this.#vcenter.host} names no manager of First Class Disks`,
    )
  }

  async #faultless(call: SoapCall, doing: string): Promise<SoapAnswer> {
    try {
      return await this.#soap.call(call)
    } catch (error) {
      throw errorOf(error, this.#vcenter.host, doing)
    }
  }
}

function isExpired(error: unknown): boolean {
  return error instanceof VSphereFault && error.fault === 'NotAuthenticated'
}
