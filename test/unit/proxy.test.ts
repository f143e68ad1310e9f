// Which proxy a request goes through: a few rows. test/contract/go-proxy.test.ts compares thousands with Go's own.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError } from '#shared/kernel/errors.ts'
import { agentProxyEnv, proxyAuthorization, proxyFor, proxyName } from '#shared/kernel/proxy.ts'

const test = suite('proxy')
const PROXY = 'http://proxy.example:3128'
const way = (url: string, env: Record<string, string>) => proxyFor(new URL(url), env)?.href

test('NO_PROXY of networks, domains and ports keeps what it names away from the proxy', () => {
  const env = { HTTPS_PROXY: PROXY, NO_PROXY: '10.0.0.0/8,.svc, vc.example.com:8443 ,fd00::/8' }
  const direct = [
    'https://10.9.8.7',
    'https://minio.velero.svc:9000',
    'https://vc.example.com:8443',
    'https://[fd00::1]',
  ]
  for (const url of direct) assert.is(way(url, env), undefined, url)
  for (const url of ['https://11.0.0.1', 'https://svc', 'https://vc.example.com', 'https://[fe00::1]'])
    assert.is(way(url, env), `${PROXY}/`, url)
})

test('localhost and loopback never go through a proxy', () => {
  const env = { HTTPS_PROXY: PROXY }
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '[::1]', '[::ffff:127.0.0.1]'])
    assert.is(way(`https://${host}:9000`, env), undefined, host)
})

test('https and http have a variable each', () => {
  assert.is(way('https://a.example', { HTTP_PROXY: PROXY }), undefined)
  assert.is(way('http://a.example', { HTTPS_PROXY: PROXY }), undefined)
  assert.is(way('http://a.example', { http_proxy: 'proxy.example:3128' }), `${PROXY}/`)
})

test('the credentials of a proxy are for the proxy, and stay out of its name', () => {
  const proxy = new URL('http://us%40er:p%3Ass@proxy.example:3128')
  assert.is(proxyAuthorization(proxy), `Basic ${Buffer.from('us@er:p:ss').toString('base64')}`)
  assert.is(proxyAuthorization(new URL(PROXY)), undefined)
  assert.is(proxyName(proxy), 'http://proxy.example:3128')
})

test('an unsupported or unreadable proxy address is refused, and the variable is named', () => {
  for (const HTTPS_PROXY of [
    'socks5://proxy.example',
    'http://user:secret@proxy :1',
    'http://%zz@proxy.example',
    'http://us%C3:%A9@proxy',
  ])
    assert.throws(
      () => proxyFor(new URL('https://a.example'), { HTTPS_PROXY }),
      (error: unknown) =>
        error instanceof RetryableError &&
        error.reason === 'ProxyUnsupported' &&
        error.message.includes('HTTPS_PROXY') &&
        !error.message.includes('secret'),
    )
})

test("Node's own reading of the environment has no say", () => {
  const env = { HTTPS_PROXY: PROXY, NO_PROXY: '10.0.0.0/8' }
  assert.equal(agentProxyEnv(new URL('https://10.1.1.1'), env), {})
  assert.equal(agentProxyEnv(new URL('https://a.example'), env), { HTTP_PROXY: `${PROXY}/`, HTTPS_PROXY: `${PROXY}/` })
})

test.run()
