// Which proxy a request goes through. The rules are those of Go's net/http (golang.org/x/net/http/httpproxy), which Velero's own
// pods follow: the same values of the variables work for both. test/contract/go-proxy.test.ts compares row by row.

import { RetryableError } from './errors.ts'
import { isDirect } from './no-proxy.ts'

type Env = Readonly<Record<string, string | undefined>>

/** undefined: direct to the target. RetryableError `ProxyUnsupported`: the variable has a value that is not supported. */
export function proxyFor(target: URL, env: Env = process.env): URL | undefined {
  const secure = target.protocol === 'https:'
  const name = secure ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const address = variable(env, name)
  if (address === '') return undefined
  // In a CGI program the client controls HTTP_PROXY by a request header `Proxy`.
  if (!secure && env['REQUEST_METHOD'])
    throw unsupported(`${name} is not obeyed where REQUEST_METHOD is set: unset one of them`)
  if (isDirect(target, variable(env, 'NO_PROXY'))) return undefined
  const proxy = proxyUrl(address)
  // The value is not quoted: it may contain a password.
  if (proxy === undefined) throw unsupported(`${name} names no proxy: is there a space or a line break in it?`)
  if (proxy.protocol === 'http:' || proxy.protocol === 'https:') return proxy
  throw unsupported(`${name} names a proxy of the kind ${proxy.protocol.slice(0, -1)}: give one of http or https`)
}

/** The value of `Proxy-Authorization`; undefined: the proxy's address has no credentials. */
export function proxyAuthorization({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined
  const plain = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return `Basic ${Buffer.from(plain).toString('base64')}`
}

/** The proxy's address without credentials, for messages. */
export function proxyName(proxy: URL): string {
  return `${proxy.protocol}//${proxy.host}`
}

/** For an agent of Node's that serves this one target: through the proxy or direct, whatever the environment says. */
export function agentProxyEnv(target: URL, env: Env = process.env): { HTTP_PROXY?: string; HTTPS_PROXY?: string } {
  const proxy = proxyFor(target, env)
  return proxy === undefined ? {} : { HTTP_PROXY: proxy.href, HTTPS_PROXY: proxy.href }
}

/** The upper-case name comes first; an empty variable counts as unset. */
function variable(env: Env, name: string): string {
  return env[name] || env[name.toLowerCase()] || ''
}

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]/i

/** An address without a scheme means http. */
function proxyUrl(value: string): URL | undefined {
  // Node's URL drops these characters, at the ends and in the middle.
  if (/[\0- \x7f]/.test(value)) return undefined
  const url = URL.parse(SCHEME.test(value) ? value : `http://${value}`)
  if (url === null || url.hostname === '') return undefined
  try {
    for (const part of [url.username, url.password]) decodeURIComponent(part)
    return url
  } catch {
    return undefined
  }
}

function unsupported(why: string): RetryableError {
  return new RetryableError('ProxyUnsupported', `the environment variable ${why}`)
}
