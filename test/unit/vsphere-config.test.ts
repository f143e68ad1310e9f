// The Secret with the vSphere credentials: samples from manuals, and every way to get it wrong (row 42 of docs/acceptance.md).

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { TerminalError } from '#shared/kernel/errors.ts'
import { readVSphereConfig, readVSphereSecret } from '#shared/providers/vsphere/config.ts'

const test = suite('vSphere configuration')
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'
const SHA256 = 'AA:'.repeat(31).concat('0F')
const PIN = 'aa'.repeat(31).concat('0f')

const read = (text: string) => readVSphereConfig(text, () => undefined)
const base64 = (text: string) => Buffer.from(text).toString('base64')
/** A whole text whose single section has these lines. */
const lines = (...extra: string[]) =>
  [
    '[Global]',
    'cluster-id = "c1"',
    '[VirtualCenter "vc.example.com"]',
    'user = "u@vsphere.local"',
    'password = "p"',
    ...extra,
  ].join('\n')
const only = (text: string) => {
  const [first, second] = read(text).vcenters
  assert.is(second, undefined)
  return first!
}

test('the sample of the manual is read', () => {
  const sample = `[Global]
cluster-id = "cluster1"

[VirtualCenter "10.182.1.133"]
user = "user@vsphere.local"
password = "password"
port = "443"
`
  assert.equal(read(sample), {
    clusterId: 'cluster1',
    vcenters: [{ host: '10.182.1.133', port: 443, user: 'user@vsphere.local', password: 'password', insecure: false }],
  })
})

/** What is written after `password =`, and what it means. The first three are the manual's own. */
const VALUES: Record<string, string> = {
  '"pwd\\\\123"': 'pwd\\123',
  '"pwd\\\\nWithNewLine"': 'pwd\\nWithNewLine',
  '"Admin!23\\\\\\\'\\""': 'Admin!23\\\'"',
  '"6^54#,RDvwgJ\\\\nEdg$2"': '6^54#,RDvwgJ\\nEdg$2',
  '"a;b#c"': 'a;b#c',
  '"  spaces  "': '  spaces  ',
  '"tab\\tin"': 'tab\tin',
  '"x=y"': 'x=y',
  '"pä߀🙂"': 'pä߀🙂',
  bare: 'bare',
  'two words   ': 'two words',
  'half " quoted " word': 'half  quoted  word',
  'cut#here': 'cut',
  'cut ; there': 'cut',
  'a\\"b': 'a"b',
  'joined \\\n  lines': 'joined   lines',
  '"[VirtualCenter]"': '[VirtualCenter]',
  "'single'": "'single'",
}
for (const [written, meant] of Object.entries(VALUES)) {
  test(`password = ${JSON.stringify(written)} means ${JSON.stringify(meant)}`, () => {
    assert.is(only(lines(`password = ${written}`)).password, meant)
    assert.is(only(lines(`password=${written} # comment`)).password, meant)
    assert.is(only(`\uFEFF${lines(`  PassWord\t=\t${written}`)}`.replaceAll('\n', '\r\n')).password, meant)
  })
}

test('names of sections and keys ignore case, comments and empty lines are skipped', () => {
  const text = `; first
  # second
[GLOBAL] ; third
Cluster-ID = c1

 [ virtualcenter "VC.Example.com" ] # fourth
USER = u@v
Password = p`
  assert.equal(read(text).vcenters, [
    { host: 'vc.example.com', port: 443, user: 'u@v', password: 'p', insecure: false },
  ])
})

test('the last of several lines for one key counts, also in a section that is opened again', () => {
  const text = lines('password = "q"', '[Global]', '[VirtualCenter "vc.example.com"]', 'port = "8443"')
  assert.equal(only(text).port, 8443)
  assert.is(only(text).password, 'q')
})

test('a cluster id may be missing, and a Supervisor has its own', () => {
  assert.is(read(lines().replace('cluster-id = "c1"', '')).clusterId, '')
  assert.is(read(lines().replace('cluster-id', 'supervisor-id')).clusterId, 'c1')
})

test('every vCenter is used', () => {
  const text = `${lines()}\n[VirtualCenter "two"]\nuser=a@b\npassword=c\nport=1443\n`
  assert.equal(
    read(text).vcenters.map(({ host, port }) => `${host}:${port}`),
    ['vc.example.com:443', 'two:1443'],
  )
})

test('values in [Global] apply to sections without their own', () => {
  const text = `[Global]
cluster-id = "c1"
user = "u@v"
password = "global"
port = "444"
[VirtualCenter "a"]
[VirtualCenter "b"]
password = "own"
port = "445"
`
  assert.equal(
    read(text).vcenters.map(({ password, port }) => [password, port]),
    [
      ['global', 444],
      ['own', 445],
    ],
  )
})

const HOSTS: Record<string, string> = {
  'vc.example.com': 'vc.example.com',
  'VC01.': 'vc01.',
  '10.0.0.1': '10.0.0.1',
  '2620:124:6020:c304:0:a:0:763': '2620:124:6020:c304:0:a:0:763',
  '[2620:124::763]': '2620:124::763',
  'fe80::1%eth0': 'fe80::1%eth0',
}
for (const [written, meant] of Object.entries(HOSTS)) {
  test(`[VirtualCenter "${written}"] is the host ${meant}`, () => {
    assert.is(only(lines().replace('vc.example.com', written)).host, meant)
  })
}

const FLAGS: [string[], boolean][] = [
  [['insecure-flag = "true"'], true],
  [['insecure-flag = true'], true],
  [['insecure-flag = 1'], true],
  [['insecure-flag'], true],
  [['Insecure-Flag = "Yes"'], true],
  [['insecure-flag = "false"'], false],
  [['insecure-flag = off'], false],
  [['[Global]', 'insecure-flag = "true"'], true],
  [[], false],
]
for (const [extra, meant] of FLAGS) {
  test(`${JSON.stringify(extra)} is insecure: ${meant}`, () => {
    assert.is(only(lines(...extra)).insecure, meant)
  })
}

test('a SHA-256 is pinned in any of its forms', () => {
  for (const form of [SHA256, SHA256.toLowerCase(), SHA256.replaceAll(':', ''), `sha256:${PIN}`]) {
    assert.is(only(lines(`thumbprint = "${form}"`)).pinnedSha256, PIN)
    assert.is(only(lines(`thumbprint-sha256 = "${form}"`)).pinnedSha256, PIN)
  }
})

test("the driver's own trust keys have no effect under insecure-flag, as it documents; Dormouse's own keys do", () => {
  const insecure = 'insecure-flag = "true"'
  assert.is(only(lines(insecure, 'thumbprint = "stale"', 'ca-file = "/gone"')).insecure, true)
  assert.equal(
    [only(lines(insecure, `thumbprint-sha256 = "${SHA256}"`)), only(lines(insecure, `ca-data = "${base64(PEM)}"`))].map(
      ({ insecure: flag, pinnedSha256, caPem }) => [flag, pinnedSha256, caPem],
    ),
    [
      [false, PIN, undefined],
      [false, undefined, PEM],
    ],
  )
})

test('ca-data is PEM, as it is or in base64', () => {
  assert.is(only(lines(`ca-data = "${base64(PEM)}"`)).caPem, PEM)
  assert.is(only(lines(`ca-data = "${PEM.replaceAll('\n', '\\n')}"`)).caPem, PEM)
})

test('ca-file names another key of the Secret', () => {
  const text = lines('ca-file = "/etc/ssl/vcenter-ca.pem"')
  const secret = { 'csi-vsphere.conf': base64(text), 'vcenter-ca.pem': base64(PEM) }
  assert.is(readVSphereSecret(secret).vcenters[0]?.caPem, PEM)
  assert.throws(() => readVSphereSecret({ 'csi-vsphere.conf': base64(text) }), isInvalid(/vcenter-ca\.pem/))
})

test('the one data key may have any name; of several the usual one counts', () => {
  const text = base64(lines())
  const good = [{ anything: text }, { 'csi-vsphere.conf': text, 'old.conf': 'x' }, { 'my.conf': text, 'ca.pem': 'x' }]
  for (const data of [...good, { 'vsphere-cloud-provider.conf': text, z: 'x' }]) {
    assert.is(readVSphereSecret(data as Record<string, string>).clusterId, 'c1')
  }
  assert.throws(() => readVSphereSecret({ one: text, two: text }), isInvalid(/one, two.*csi-vsphere\.conf/))
  assert.throws(() => readVSphereSecret({}), isInvalid(/no data key/))
})

/** What is wrong, the place that the error names, and a word of the fix. */
const REFUSED: [string, string, RegExp][] = [
  ['no section above a key', 'user = x', /line 1.*section/],
  ['a long cluster-id', lines().replace('c1', 'c'.repeat(65)), /cluster-id/],
  ['no vCenter', '[Global]\ncluster-id=c', /VirtualCenter/],
  ['no user', lines().replace(/user.*\n/, ''), /line 3.*user/],
  ['no password', lines().replace(/password.*/, ''), /line 3.*password/],
  ['an empty password', lines('password = ""'), /password/],
  ['a key without a value', lines('port'), /line 6.*port/],
  ['an open quote', lines('password = "s3cret'), /line 6.*quote/],
  ['an unknown escape', lines('password = "s3cret\\q"'), /line 6.*backslash/],
  ['a backslash without quotes', lines('password = s3cret\\q'), /line 6.*double quotes/],
  ['a control character', lines('password = "s3cret\x01"'), /control/],
  ['an open section', lines('[VirtualCenter "b"'), /line 6.*\]/],
  ['a section name without quotes', lines('[VirtualCenter b]'), /line 6/],
  ['words after a section', lines('[Global] port'), /line 6.*new line/],
  ['a colon for an equals sign', lines('port: 443'), /line 6.*=/],
  ['a port that is none', lines('port = "https"'), /port.*65535/],
  ['port 0', lines('port = "0"'), /port/],
  ['port 65536', lines('port = "65536"'), /port/],
  ['a URL for a host', lines().replace('vc.example.com', 'https://vc/sdk'), /host alone/],
  ['host and port in one', lines().replace('vc.example.com', 'vc:443'), /port = "443"/],
  ['no host', lines().replace(' "vc.example.com"', ''), /host/],
  ['one vCenter twice', `${lines()}\n[VirtualCenter "VC.example.com"]\nuser=u\npassword=p`, /one section/],
  ['a flag that is none', lines('insecure-flag = "maybe"'), /line 6.*"true" or "false"/],
  ['a SHA-1 thumbprint', lines(`thumbprint = "${'AA:'.repeat(19)}AA"`), /line 6.*SHA-1.*thumbprint-sha256/],
  ['a thumbprint that is none', lines('thumbprint = "zz"'), /line 6.*64 hex/],
  ['ca-data that is none', lines('ca-data = "bm90IGEgUEVN"'), /line 6.*PEM/],
]
for (const [what, text, fix] of REFUSED) {
  test(`${what} is refused with place and fix, without the secret`, () => {
    assert.throws(() => read(text), isInvalid(fix))
  })
}

function isInvalid(fix: RegExp): (error: Error) => boolean {
  return (error) => {
    assert.instance(error, TerminalError)
    assert.is((error as TerminalError).reason, 'VSphereConfigInvalid')
    assert.match(error.message, fix)
    assert.not.match(error.message, /s3cret|u@vsphere/)
    return true
  }
}

test.run()
