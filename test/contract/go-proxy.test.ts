// Gives the same variables and addresses to Go's rules for proxies and to Dormouse's: both give the same answer for each row.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { proxyFor } from '#shared/kernel/proxy.ts'
import { askProxies, type ProxyRow } from './go-peer.ts'

const PROXY = 'http://proxy.example:3128'

const TARGETS = [
  'https://10.1.2.3',
  'https://10.1.2.3:9000',
  'http://10.1.2.3:80',
  'https://11.1.2.3',
  'https://127.0.0.1:9000',
  'https://127.8.9.1',
  'https://localhost:9000',
  'https://minio.localhost',
  'https://localhost.example',
  'https://[::1]:9000',
  'https://[::ffff:127.0.0.1]',
  'https://[::ffff:10.1.2.3]',
  'https://[fd00::12]',
  'https://[fd00::12]:9000',
  'https://[fd01::12]',
  'https://[2001:db8:0:0:0:0:0:1]',
  'https://0.0.0.0',
  'https://169.254.169.254/latest',
  'https://minio',
  'https://minio.svc',
  'https://minio.velero.svc:9000',
  'https://svc',
  'https://minio.velero.svc.cluster.local',
  'http://broker-ingress.knative-eventing.svc.cluster.local/velero/default',
  'https://s3.eu-central-1.amazonaws.com',
  'https://bucket.s3.eu-central-1.amazonaws.com',
  'https://vc.example.com',
  'https://vc.example.com:8443',
  'https://VC.Example.COM',
  'https://notexample.com',
  'https://example.com',
  'https://a.b.example.com',
  'https://vc.example.com.',
  'https://équipe.example',
  'https://xn--quipe-9ra.example',
  'https://s3.10.0.0.1',
].filter((url) => URL.canParse(url))

const NO_PROXY = [
  '',
  '10.0.0.0/8,.svc',
  '10.0.0.0/8',
  '10.1.2.3',
  '10.1.2.3:9000',
  '10.1.2.3:443',
  '10.1.2.3/32',
  '10.1.2.3/0',
  '10.0.0.0/33',
  '10.0.0.0/08',
  '10.0.0.0/',
  '010.0.0.0/8',
  '10.',
  '10.1',
  '.3',
  '10.1.2.*',
  '10.1.2.1-10.1.2.9',
  '0.0.0.0/0',
  '::/0',
  'fd00::/8',
  'fd00::/64',
  'fd00::12',
  '[fd00::12]',
  '[fd00::12]:9000',
  '[fd00::12]:',
  'FD00:0::12',
  'fd00::12%eth0',
  '2001:db8::1',
  '::ffff:10.1.2.3',
  '::ffff:10.0.0.0/104',
  '*',
  'x,*,y',
  '*:443',
  '**',
  '*.*',
  '.svc',
  'svc',
  '.svc:9000',
  'svc:443',
  'SVC',
  ' .svc , .cluster.local ',
  '.svc .cluster.local',
  '.svc;.cluster.local',
  '.cluster.local,.svc',
  'cluster.local',
  'example.com',
  '.example.com',
  '*.example.com',
  '*.example.com:8443',
  '*example.com',
  '*.*.example.com',
  'a.*.example.com',
  'vc.example.com.',
  '.example.com.',
  'EXAMPLE.com',
  'example.com:443',
  'example.com:https',
  'example.com:',
  ':443',
  ':',
  ',,',
  '.',
  '..',
  '*.',
  'équipe.example',
  '.équipe.example',
  'xn--quipe-9ra.example',
  'example',
  'http://example.com',
  'example.com/',
  'localhost',
  'minio',
  'amazonaws.com',
  '.s3.eu-central-1.amazonaws.com',
  '169.254.169.254',
  'a:b:c',
  '[a',
  'a]',
  '[]:1',
]

const ADDRESSES = [
  'http://proxy.example',
  'http://proxy.example:3128/',
  'http://proxy.example:3128/some/path?x',
  'https://proxy.example',
  'https://proxy.example:8443',
  'HTTP://proxy.example:3128',
  'proxy.example:3128',
  'proxy.example',
  'proxy',
  '10.9.9.9:3128',
  '10.9.9.9',
  '[fd00::9]:3128',
  'http://[fd00::9]:3128',
  'user:secret@proxy.example:3128',
  'http://user:secret@proxy.example:3128',
  'http://user@proxy.example:3128',
  'http://us%40er:pa%3Ass%2F@proxy.example:3128',
  'http://user:p@ss@proxy.example:3128',
  'socks5://proxy.example:1080',
  'socks5h://proxy.example:1080',
  'socks4://proxy.example:1080',
  'ftp://proxy.example:21',
  ' http://proxy.example:3128',
  'http://proxy.example:3128\n',
  'http://proxy.example:3128 ',
  'http://proxy .example:3128',
  'http://proxy.example:port',
  'http://proxy.example:99999',
]

const ENVIRONMENTS: Record<string, string>[] = [
  {},
  { HTTPS_PROXY: PROXY },
  { https_proxy: PROXY },
  { HTTP_PROXY: PROXY },
  { http_proxy: PROXY },
  { ALL_PROXY: PROXY, all_proxy: PROXY },
  { HTTPS_PROXY: '', https_proxy: PROXY },
  { HTTPS_PROXY: 'http://secure:1', HTTP_PROXY: 'http://plain:3' },
  { HTTPS_PROXY: PROXY, NO_PROXY: '', no_proxy: 'example.com' },
  { Https_Proxy: PROXY },
  { HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY, REQUEST_METHOD: 'GET' },
  { HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY, REQUEST_METHOD: '' },
  { HTTP_PROXY: PROXY, NO_PROXY: '*', REQUEST_METHOD: 'GET' },
]

/** Rows with another answer by Dormouse, and why. docs/operations/real-inputs.md has the same list. */
const DIFFERENCES: Record<string, string> = {
  'socks5://proxy.example:1080': 'Dormouse speaks no SOCKS: it says so, as to go around the proxy would be a surprise',
  'socks5h://proxy.example:1080': 'as socks5',
  'socks4://proxy.example:1080': 'Go speaks HTTP to whatever it does not know, which fails later and says less',
  'ftp://proxy.example:21': 'as socks4',
  'http://proxy.example:99999': 'no such port: Go fails when it connects',
  ' http://proxy.example:3128': 'Go leaves the proxy out without a word',
  'http://proxy.example:3128\n': 'the same',
  'http://proxy.example:3128 ': 'Go looks for a proxy that is called `http`',
  'http://proxy .example:3128': 'the same',
  'http://proxy.example:port': 'the same',
}

const test = suite('proxies as in Go')

const rowsOf = (env: Record<string, string>) => TARGETS.map((url): ProxyRow => ({ url, env }))
const same = async (rows: ProxyRow[]) => {
  const expected = await askProxies(rows)
  const wrong = rows
    .map((row, index) => ({ ...row, go: textOf(expected[index]!), dormouse: answerOf(row) }))
    .filter(({ go, dormouse }) => go !== dormouse)
  assert.equal(wrong, [])
}

test('each entry of NO_PROXY keeps the same addresses away from the proxy', async () => {
  await same(NO_PROXY.flatMap((entry) => rowsOf({ HTTPS_PROXY: PROXY, HTTP_PROXY: PROXY, NO_PROXY: entry })))
})

test('the same proxy variable counts as in Go', async () => {
  await same(ENVIRONMENTS.flatMap(rowsOf))
})

test('of two variables that differ only in case the one in capital letters counts, as in Go up to 1.26', async () => {
  const env = { HTTPS_PROXY: 'http://capital:1', https_proxy: 'http://small:2' }
  const row = { url: 'https://vc.example.com', env }
  const [go] = await askProxies([row])
  // Later versions of golang.org/x/net take the other variable.
  assert.ok(['http://capital:1', 'http://small:2'].includes(go!.answer))
  assert.is(answerOf(row), 'http://capital:1 ')
})

test("a proxy's address is read in the same way, except for the listed differences", async () => {
  const known = (address: string) => DIFFERENCES[address] !== undefined
  const rowFor = (address: string) => ({ url: 'https://vc.example.com', env: { HTTPS_PROXY: address } })
  await same(ADDRESSES.filter((address) => !known(address)).map(rowFor))
  const different = Object.keys(DIFFERENCES).map(rowFor)
  const answers = await askProxies(different)
  for (const [index, row] of different.entries()) {
    assert.is(answerOf(row), 'error', row.env.HTTPS_PROXY)
    assert.is.not(textOf(answers[index]!), 'error', row.env.HTTPS_PROXY)
  }
})

/** Includes the credentials: Go writes them as the address does, escaped. */
function textOf({ answer, why }: { answer: string; why?: string }): string {
  if (answer === 'error' || answer === 'direct') return answer
  return `${answer} ${decodeURIComponent(why ?? '')}`
}

function answerOf({ url, env }: ProxyRow): string {
  try {
    const proxy = proxyFor(new URL(url), env)
    if (proxy === undefined) return 'direct'
    const port = proxy.port || (proxy.protocol === 'https:' ? '443' : '80')
    const credentials = [proxy.username, proxy.password].filter((part) => part !== '').join(':')
    return `${proxy.protocol}//${proxy.hostname}:${port} ${decodeURIComponent(credentials)}`
  } catch {
    return 'error'
  }
}

test.run()
