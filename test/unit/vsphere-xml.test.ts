// What is written reads back the same, and no text of a server can break the reader.

import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  childOf,
  element,
  integerOf,
  listOf,
  textOf,
  typeOf,
  type XmlObject,
  XmlReader,
} from '#shared/providers/vsphere/xml.ts'

const test = suite('XML')
const XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'

function parse(text: string, pieceBytes = text.length * 4 + 1): XmlObject {
  const bytes = Buffer.from(text)
  const reader = new XmlReader()
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes))
  return reader.end()
}

test('any text that XML can hold comes back as it was', () => {
  const xmlText = fc.string({ unit: 'binary' }).map((text) =>
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML cannot hold (XML 1.0 §2.2)
    text.replaceAll(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]/g, ''),
  )
  fc.assert(
    fc.property(xmlText, (text) => {
      assert.is(textOf(parse(element('a', {}, text).text), 'a'), text)
      const attribute = text.replaceAll(/[\t\n]/g, '')
      assert.is(textOf(childOf(parse(element('a', { b: attribute }, 'x').text), 'a'), '@b'), attribute)
    }),
  )
})

test('nested elements are not escaped, undefined is left out, numbers are written plainly', () => {
  const inner = element('id', {}, '<1>')
  assert.is(
    element('a', { type: '"q"' }, inner, undefined, 2 ** 40).text,
    '<a type="&quot;q&quot;"><id>&lt;1&gt;</id>1099511627776</a>',
  )
})

test('a type is resolved by namespace, whatever the prefix, to its last part', () => {
  const forms = [
    `<r ${XSI}><v xsi:type="ID"><id>1</id></v></r>`,
    `<r ${XSI}><v xmlns:vim25="urn:vim25" xsi:type="vim25:ID"><id>1</id></v></r>`,
    '<r><v xmlns:_X="http://www.w3.org/2001/XMLSchema-instance" _X:type="vmodl.fault.ID"><id>1</id></v></r>',
    `<r xmlns:xsi="urn:other" ${XSI.replace('xsi', 'i')}><v xsi:type="WRONG" i:type="ID"><id>1</id></v></r>`,
  ]
  for (const form of forms) {
    const value = childOf(childOf(parse(form), 'r'), 'v')
    assert.is(typeOf(value), 'ID', form)
    assert.is(textOf(value, 'id'), '1')
  }
})

test('a reference keeps its type attribute beside an xsi:type', () => {
  const value = parse(`<r ${XSI} xsi:type="ManagedObjectReference" type="Datastore">datastore-59</r>`)
  assert.is(typeOf(childOf(value, 'r')), 'ManagedObjectReference')
  assert.is(textOf(childOf(value, 'r'), '@type'), 'Datastore')
  assert.is(textOf(value, 'r'), 'datastore-59')
})

test('none, one and many are all lists', () => {
  const sizes = ['<r/>', '<r><a>1</a></r>', '<r><a>1</a><b/><a>2</a><a x="3">4</a></r>'].map(
    (text) => listOf(parse(text)['r'] as never, 'a').length,
  )
  assert.equal(sizes, [0, 1, 3])
})

test('numbers are whole and exact, or nothing', () => {
  const read = (text: string) => integerOf(parse(`<a>${text}</a>`), 'a')
  assert.equal(['0', '-1', ' 42 ', '9007199254740991', '9007199254740992', '1.5', '', '0x1', '1e3'].map(read), [
    0,
    -1,
    42,
    9007199254740991,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ])
})

test('pieces of any size give the same', () => {
  const text = `<?xml version="1.0" encoding="UTF-8"?><r ${XSI}><a>pä€🙂</a><![CDATA[x<y]]><a>&#x41;&amp;</a></r>`
  const whole = parse(text)
  for (const pieceBytes of [1, 2, 3, 5, 7]) assert.equal(parse(text, pieceBytes), whole)
  assert.equal(listOf(whole['r'] as never, 'a'), ['pä€🙂', 'A&'])
})

test('names of Object have no power', () => {
  const value = parse('<r><__proto__><polluted>1</polluted></__proto__><constructor>2</constructor></r>')
  assert.is(({} as Record<string, unknown>)['polluted'], undefined)
  assert.is(textOf(value['r'] as never, 'constructor'), '2')
  assert.is(textOf(parse('<r><a/></r>')['r'] as never, 'toString'), undefined)
})

test('what is not XML is refused', () => {
  const deep = `${'<a>'.repeat(100)}${'</a>'.repeat(100)}`
  const bomb = '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><r>&b;</r>'
  for (const text of ['', 'plain', '<a>', '<a></b>', '<a/><b/>', '<a>&unknown;</a>', '<html><br></html>', deep, bomb]) {
    assert.throws(() => parse(text), Error, text)
  }
  assert.throws(() => {
    const reader = new XmlReader()
    reader.push(Buffer.from([0x3c, 0x61, 0x3e, 0xff, 0x3c, 0x2f, 0x61, 0x3e]))
    reader.end()
  }, Error)
})

test('a hundred thousand changed areas are read in moments', () => {
  const areas = '<changedArea><start>1048576</start><length>65536</length></changedArea>'.repeat(100_000)
  const startMs = performance.now()
  const value = parse(`<r>${areas}</r>`, 65_536)
  assert.is(listOf(value['r'] as never, 'changedArea').length, 100_000)
  assert.ok(performance.now() - startMs < 5000, `${performance.now() - startMs} ms`)
})

test.run()
