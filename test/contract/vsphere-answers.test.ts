// Answers that the stand-in does not give: variants of real vCenters, and broken or hostile servers.

import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { VCenter } from '#shared/providers/vsphere/config.ts'
import { errorOf } from '#shared/providers/vsphere/faults.ts'
import { Session } from '#shared/providers/vsphere/session.ts'
import { type SoapCall, SoapConnection, VIM, VSphereFault } from '#shared/providers/vsphere/soap.ts'
import { queryTask } from '#shared/providers/vsphere/tasks.ts'
import { VCenterVolumes } from '#shared/providers/vsphere/vcenter.ts'
import { Vslm } from '#shared/providers/vsphere/vslm.ts'
import { textOf, XmlReader } from '#shared/providers/vsphere/xml.ts'
import { rejects } from './volumes-suite.ts'
import { TestVcenter } from './vsphere-vcenter.ts'

type Request = { method: string; body: string; headers: IncomingMessage['headers'] }
type Answer = (request: Request, to: ServerResponse) => unknown

const LIMITS = { connectMs: 500, callMs: 700, answerBytes: MiB }
const CALL: SoapCall = { service: VIM, method: 'Ask', on: { type: 'Thing', id: 'thing-1' }, repeatable: true }
const ENVELOPE =
  '<soapenv:Envelope xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/" ' +
  'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" ' +
  'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'

const soap = (body: string) =>
  `<?xml version="1.0" encoding="UTF-8"?>\n${ENVELOPE}\n<soapenv:Body>\n${body}\n</soapenv:Body>\n</soapenv:Envelope>`
const returns = (method: string, value: string) =>
  soap(`<${method}Response xmlns="urn:vim25">${value}</${method}Response>`)
const fault = (text: string, detail: string) =>
  soap(
    `<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>${text}</faultstring><detail>${detail}</detail></soapenv:Fault>`,
  )

const test = suite('answers of a vCenter')
let key: Buffer
let cert: Buffer
let server: Server
let answer: Answer
let vcenter: VCenter
let connection: SoapConnection

test.before(async () => {
  // Only the stand-in's certificate is used.
  const standIn = await TestVcenter.start()
  cert = readFileSync(standIn.ready.certFile)
  key = readFileSync(join(dirname(standIn.ready.certFile), 'key.pem'))
  await standIn.stop()
  server = await serve('127.0.0.1')
})
test.before.each(() => {
  vcenter = {
    host: '127.0.0.1',
    port: portOf(server),
    user: 'u',
    password: 'p',
    insecure: false,
    caPem: cert.toString(),
  }
  connection = new SoapConnection(vcenter, LIMITS)
})
test.after.each(() => connection.close())
test.after(() => {
  server.closeAllConnections()
  server.close()
})

function serve(host: string): Promise<Server> {
  const made = createServer({ key, cert }, (request, response) => void reply(request, response))
  const reply = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString()
    const method = /<soapenv:Body><(\w+)/.exec(body)?.[1] ?? ''
    await answer({ method, body, headers: request.headers }, response)
  }
  return new Promise((resolve, reject) => {
    made.on('error', reject)
    made.listen(0, host, () => resolve(made))
  })
}

function portOf(of: Server): number {
  return (of.address() as AddressInfo).port
}

const say =
  (text: string, status = 200): Answer =>
  (_, to) =>
    to.writeHead(status).end(text)
const unreadable = (act: Promise<unknown>) => rejects(act, RetryableError, 'VCenterAnswerUnreadable')
const unreachable = (act: Promise<unknown>) => rejects(act, RetryableError, 'VCenterUnreachable')

/** Logs in at a vCenter that answers everything after the login with `rest`. */
function loggingIn(rest: Answer): { session: Session; seen: Request[] } {
  const seen: Request[] = []
  const content =
    '<returnval><rootFolder type="Folder">group-d1</rootFolder><about><version>8.0.3</version></about>' +
    '<sessionManager type="SessionManager">SessionManager</sessionManager>' +
    '<authorizationManager type="AuthorizationManager">AuthorizationManager</authorizationManager></returnval>'
  const manager =
    '<vStorageObjectManager type="VslmVStorageObjectManager">VStorageObjectManager</vStorageObjectManager>'
  answer = (request, to) => {
    seen.push(request)
    if (request.method === 'RetrieveServiceContent') to.end(returns(request.method, content))
    else if (request.method === 'Login') {
      to.setHeader('set-cookie', ['other=1', 'vmware_soap_session="f0e1d2c3"; Path=/; HttpOnly; Secure; '])
      to.end(returns(request.method, '<returnval><key>52aa</key><userName>u</userName></returnval>'))
    } else if (request.method === 'RetrieveContent')
      to.end(returns(request.method, `<returnval>${manager}</returnval>`))
    else if (request.method === 'Logout') to.end(returns('Logout', ''))
    else void rest(request, to)
  }
  return { session: new Session(vcenter, systemClock, connection), seen }
}

test('a fault is named by its type, without namespace and package', async () => {
  const forms = [
    '<InvalidLoginFault xmlns="urn:vim25" xsi:type="InvalidLogin"></InvalidLoginFault>',
    '<InvalidLoginFault xmlns="urn:vim25"/>',
    '<ns1:RuntimeFaultFault xmlns:ns1="urn:vslm" xmlns:v="urn:vim25" xsi:type="v:vmodl.fault.InvalidLogin"/>',
  ]
  for (const form of forms) {
    answer = say(fault('Cannot complete login due to an incorrect user name or password.', form), 500)
    const error = await connection.call(CALL).catch((thrown: unknown) => thrown)
    assert.instance(error, VSphereFault)
    assert.is((error as VSphereFault).fault, 'InvalidLogin')
  }
})

test('all missing privileges are named, as 7.0.3 lists them', async () => {
  const missing = (entity: string, ...ids: string[]) =>
    `<missingPrivileges><entity type="Folder">${entity}</entity>${ids.map((id) => `<privilegeIds>${id}</privilegeIds>`).join('')}</missingPrivileges>`
  const detail = `<NoPermissionFault xmlns="urn:vim25" xsi:type="NoPermission"><object type="Folder">group-d1</object><privilegeId>Global.DisableMethods</privilegeId>${missing('group-d1', 'Global.EnableMethods', 'Global.DisableMethods')}${missing('datastore-1', 'Datastore.FileManagement')}</NoPermissionFault>`
  answer = say(fault('Permission denied', detail), 500)
  const error = await connection.call(CALL).catch((thrown: unknown) => errorOf(thrown, 'vc', 'ask'))
  assert.instance(error, TerminalError)
  assert.match(
    (error as TerminalError).message,
    /^vCenter vc could not ask: NoPermission \(grant Datastore\.FileManagement, Global\.DisableMethods, Global\.EnableMethods\)/,
  )
})

test('the session goes as cookie to vim25 and as header to vslm, both without quotes', async () => {
  const { session, seen } = loggingIn((_, to) => to.end(returns('VslmRetrieveSnapshotInfo', '<returnval></returnval>')))
  const vslm = new Vslm(session, vcenter.host)
  assert.equal(await vslm.snapshots('91ff4aef'), [])
  await session.close()
  const last = seen.at(-2)
  assert.match(last?.body ?? '', /<soapenv:Header><vcSessionCookie>f0e1d2c3<\/vcSessionCookie><\/soapenv:Header>/)
  assert.match(last?.body ?? '', /<VslmRetrieveSnapshotInfo xmlns="urn:vslm"><_this type="VslmVStorageObjectManager">/)
  assert.is(last?.headers.cookie, undefined)
  assert.is(last?.headers['soapaction'], '"urn:vslm/1.0"')
  assert.is(seen.at(-1)?.method, 'Logout')
  assert.is(seen.at(-1)?.headers.cookie, 'vmware_soap_session=f0e1d2c3')
  assert.is(seen.find(({ method }) => method === 'Login')?.headers.cookie, undefined)
})

test('a volume with all that vCenter 8 tells of it is described', async () => {
  const config =
    '<id><id>91ff4aef</id></id><name>pvc-1 &amp; more</name><createTime>2026-11-20T01:02:03.004Z</createTime>' +
    '<keepAfterDeleteVm>true</keepAfterDeleteVm><relocationDisabled>false</relocationDisabled>' +
    '<changedBlockTrackingEnabled>true</changedBlockTrackingEnabled>' +
    '<backing xsi:type="BaseConfigInfoDiskFileBackingInfo"><datastore type="Datastore">datastore-59</datastore>' +
    '<filePath>[ds 1] fcd/91ff4aef.vmdk</filePath><provisioningType>thin</provisioningType></backing>' +
    '<capacityInMB>2097152</capacityInMB><consumptionType>disk</consumptionType>'
  const { session } = loggingIn((_, to) =>
    to.end(returns('VslmRetrieveVStorageObject', `<returnval><config>${config}</config></returnval>`)),
  )
  const { facts } = await new Vslm(session, 'vc').retrieve('91ff4aef')
  assert.equal(facts, {
    fcdId: '91ff4aef',
    name: 'pvc-1 & more',
    capacityBytes: 2 * 1024 ** 4,
    datastoreMoref: 'datastore-59',
    changedBlockTracking: true,
    vcenter: 'vc',
  })
  await session.close()
})

const TASKS: Record<string, object> = {
  '<state>queued</state>': { state: 'running', percent: undefined },
  '<state>running</state><progress>42</progress>': { state: 'running', percent: 42 },
  '<state>success</state><result xsi:type="ID"><id>5e0f</id></result>': { state: 'done', result: '5e0f' },
  '<state>success</state><result xsi:type="VStorageObject"><config><id><id>5e0f</id></id></config></result>': {
    state: 'done',
    result: '5e0f',
  },
  '<state>success</state>': { state: 'done', result: 'later' },
}
for (const [info, expected] of Object.entries(TASKS)) {
  test(`a task with ${info} is ${JSON.stringify(expected)}`, async () => {
    const result = '<returnval xsi:type="ID"><id>later</id></returnval>'
    const { session } = loggingIn(({ method }, to) =>
      to.end(returns(method, method === 'VslmQueryInfo' ? `<returnval><key>t</key>${info}</returnval>` : result)),
    )
    assert.equal(await queryTask(session, 'vc', 'task-1'), expected)
    await session.close()
  })
}

test('a task of an unknown state is unreadable', async () => {
  const { session } = loggingIn((_, to) =>
    to.end(returns('VslmQueryInfo', '<returnval><state>odd</state></returnval>')),
  )
  await unreadable(queryTask(session, 'vc', 'task-1'))
  await session.close()
})

test('answers that leave out what matters are unreadable', async () => {
  const partly = ['<returnval></returnval>', '<returnval><config><name>x</name></config></returnval>', '']
  for (const value of partly) {
    const { session } = loggingIn(({ method }, to) => to.end(returns(method, value)))
    const vslm = new Vslm(session, 'vc')
    await unreadable(vslm.retrieve('1'))
    await unreadable(vslm.createSnapshot('1', 'd'))
    await unreadable(vslm.changedPart('1', '2', 0, 'c'))
    connection.close()
    connection = new SoapConnection(vcenter, LIMITS)
  }
})

test('only a whole answer says that there are no snapshots, and a disk is described by its own id', async () => {
  for (const value of ['', '<other/>', '<returnval/><returnval/>']) {
    const { session } = loggingIn(({ method }, to) => to.end(returns(method, value)))
    await unreadable(new Vslm(session, 'vc').snapshots('1'))
    connection.close()
    connection = new SoapConnection(vcenter, LIMITS)
  }
  for (const value of ['<returnval/>', '<returnval xmlns:x="urn:x" x:type="VStorageObjectSnapshotInfo"></returnval>']) {
    const { session } = loggingIn(({ method }, to) => to.end(returns(method, value)))
    assert.equal(await new Vslm(session, 'vc').snapshots('1'), [])
    connection.close()
    connection = new SoapConnection(vcenter, LIMITS)
  }
  const config =
    '<id><id>OTHER</id></id><name>x</name><capacityInMB>1</capacityInMB><backing><datastore type="Datastore">d-1</datastore></backing>'
  const { session } = loggingIn(({ method }, to) =>
    to.end(returns(method, `<returnval><config>${config}</config></returnval>`)),
  )
  await unreadable(new Vslm(session, 'vc').retrieve('1'))
  assert.is((await new Vslm(session, 'vc').retrieve('other')).facts.name, 'x')
  await session.close()
})

test('what a server says of itself stays a short line: faults, states, tags and what it lists', async () => {
  const long = 'long '.repeat(20_000)
  const keys = '<faultMessage><key>k</key></faultMessage>'.repeat(2000)
  const answers = [
    fault(`a\u0007b\n${long}`, `<OddFault xsi:type="Odd">${keys}<invalidProperty>${long}</invalidProperty></OddFault>`),
    fault('x', `<${'T'.repeat(50_000)}Fault/>`),
    `<${'a'.repeat(50_000)}></b>`,
    returns('VslmQueryInfo', `<returnval><state>${long}</state></returnval>`),
  ]
  for (const text of answers) {
    const { session } = loggingIn(({ method }, to) =>
      to.writeHead(text.includes('Fault>') ? 500 : 200).end(method === 'Logout' ? '' : text),
    )
    const error = await queryTask(session, 'vc', 'task-1').then(
      () => new Error(''),
      (thrown: Error) => thrown,
    )
    assert.instance(error, RetryableError)
    assert.ok(error.message.length < 1200, `${error.message.length}: ${error.message.slice(0, 100)}`)
    assert.not.match(error.message, /\p{Cc}/u)
    connection.close()
    connection = new SoapConnection(vcenter, LIMITS)
  }
})

test('an answer of more elements than any vCenter sends is given up before it takes the memory', async () => {
  const reader = new XmlReader()
  const many = Buffer.from('<a/>'.repeat(100_000))
  reader.push(Buffer.from('<r>'))
  assert.throws(() => {
    for (let n = 0; n < 40; n++) reader.push(many)
  }, /more than/)
})

test('a change id of another tracking or of the future is not even asked about', async () => {
  const tracking = '52 05 a2 ce 6d 6d c9 59-d3 2e ad 19 e3 96 73 6d'
  const nothingChanged = `<returnval><startOffset>0</startOffset><length>${MiB}</length></returnval>`
  const details = `<returnval><changedBlockTrackingId>${tracking}/7</changedBlockTrackingId></returnval>`
  const { session } = loggingIn(({ method }, to) =>
    to.end(returns(method, method === 'VslmQueryChangedDiskAreas' ? nothingChanged : details)),
  )
  const volumes = new VCenterVolumes(vcenter, systemClock)
  assert.equal(await volumes.changedAreas('1', '2', `${tracking}/6`, MiB), [])
  assert.equal(await volumes.changedAreas('1', '2', `${tracking}/7`, MiB), [])
  for (const other of [`${tracking}/8`, `${tracking.replace('52', '53')}/6`]) {
    await rejects(volumes.changedAreas('1', '2', other, MiB), TerminalError, 'ChangeTrackingLost')
  }
  await volumes.close()
  await session.close()
})

test('what is not SOAP is unreadable', async () => {
  const texts = [
    '',
    'plain',
    '<html><body>Hello</body></html>',
    soap(''),
    returns('Other', ''),
    `${returns('Ask', '')}<more/>`,
  ]
  for (const text of texts) {
    answer = say(text)
    await unreadable(connection.call(CALL))
  }
})

test('an answer of many megabytes is cut off', async () => {
  let sentBytes = 0
  answer = (_, to) => {
    const chunk = Buffer.alloc(64 * 1024, '<a/>')
    const more = () => {
      while (!to.destroyed && to.write(chunk)) sentBytes += chunk.length
    }
    to.on('drain', more)
    to.write(`${ENVELOPE}<soapenv:Body>`)
    more()
  }
  await unreadable(connection.call(CALL))
  assert.ok(sentBytes < 16 * MiB, `${sentBytes}`)
})

test('a server that says nothing, or stops half-way, is unreachable in time', async () => {
  answer = () => undefined
  const startMs = performance.now()
  await unreachable(connection.call(CALL))
  answer = (_, to) => {
    to.writeHead(200, { 'content-length': '1000' })
    to.write(ENVELOPE)
  }
  await unreachable(connection.call(CALL))
  assert.ok(performance.now() - startMs < 10 * LIMITS.callMs)
  answer = (_, to) => {
    to.writeHead(200, { 'content-length': '1000' })
    to.write(ENVELOPE)
    setTimeout(() => to.destroy(), 50)
  }
  await unreachable(connection.call(CALL))
})

test('a redirect is not followed', async () => {
  answer = (_, to) => to.writeHead(302, { location: 'https://127.0.0.1:1/' }).end()
  const error = await unreachable(connection.call(CALL))
  assert.match(error.message, /HTTP 302/)
})

test('letters that arrive in pieces are whole', async () => {
  const bytes = Buffer.from(returns('Ask', '<returnval>pä€🙂</returnval>'))
  answer = async (_, to) => {
    to.write(bytes.subarray(0, bytes.length - 70))
    for (let at = bytes.length - 70; at < bytes.length; at++) {
      to.write(bytes.subarray(at, at + 1))
      await systemClock.sleep(1)
    }
    to.end()
  }
  assert.is(textOf((await connection.call(CALL)).response, 'returnval'), 'pä€🙂')
})

const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'))
test(`an IPv6 address is a host like any other${hasIpv6 ? '' : ' (no ::1 here: not checked)'}`, async () => {
  if (!hasIpv6) return
  const sixth = await serve('::1')
  const elsewhere = { ...vcenter, host: '::1', port: portOf(sixth), insecure: true }
  const there = new SoapConnection(elsewhere, LIMITS)
  try {
    answer = (request, to) => {
      assert.is(request.headers.host, `[::1]:${portOf(sixth)}`)
      to.end(returns('Ask', '<returnval>6</returnval>'))
    }
    assert.is(textOf((await there.call(CALL)).response, 'returnval'), '6')
  } finally {
    there.close()
    sixth.closeAllConnections()
    sixth.close()
  }
})

test.run()
