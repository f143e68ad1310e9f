// Inputs that the tests give to Go's AWS SDK and to Dormouse, and the differences that are allowed.

type File = {
  what: string
  /** TOKENFILE stands for the file that the pod's environment names. */
  text: string
  profile?: string
  /** Key and secret that each side uses; undefined: it refuses the file. */
  differs?: { why: string; go: string | undefined; dormouse: string | undefined }
}

const KEYS = 'aws_access_key_id = AKID\naws_secret_access_key = s3cr3t/+='
const TAKEN = 'AKID s3cr3t/+='
const role = (name: string) => `role_arn = arn:aws:iam::123456789012:role/${name}`

export const FILES: File[] = [
  { what: 'the plain form', text: `[default]\n${KEYS}\n` },
  { what: 'Windows lines', text: `[default]\r\n${KEYS.replace('\n', '\r\n')}\r\n` },
  { what: 'no blanks', text: `[default]\n${KEYS.replaceAll(' ', '')}` },
  { what: 'key: value', text: `[default]\n${KEYS.replaceAll(' =', ':')}` },
  { what: 'a colon in a value', text: `[default]\naws_access_key_id=AKID\naws_secret_access_key=s3:cr3t` },
  {
    what: 'an equals sign in a value after a colon',
    text: `[default]\naws_access_key_id: AKID\naws_secret_access_key: s3=cr3t`,
  },
  { what: 'a stray line', text: `[default]\nstray\n${KEYS}\nanother` },
  { what: 'a stray line before any profile', text: `stray\n[default]\n${KEYS}` },
  { what: 'a property before any profile', text: `aws_access_key_id = other\n[default]\n${KEYS}` },
  { what: 'a profile that is not closed', text: `[default]\n${KEYS}\n[other\naws_access_key_id = AKID` },
  {
    what: 'a profile that is not closed takes the next keys',
    text: `[default]\n${KEYS}\n[other\naws_access_key_id = OTHER`,
  },
  { what: 'an empty profile', text: `[]\naws_access_key_id = other\n[default]\n${KEYS}` },
  {
    what: 'another profile',
    text: `[default]\naws_access_key_id=x\naws_secret_access_key=y\n[backups]\n${KEYS}`,
    profile: 'backups',
  },
  { what: 'a profile of a config file', text: `[profile backups]\n${KEYS}`, profile: 'backups' },
  { what: 'a name with a blank', text: `[my team]\n${KEYS}`, profile: 'my team' },
  {
    what: 'both forms of a profile',
    text: `[x]\n${KEYS}\n[profile x]\naws_access_key_id=b\naws_secret_access_key=c`,
    profile: 'x',
  },
  {
    what: 'a profile in two parts',
    text: '[default]\naws_access_key_id=AKID\n[x]\n[default]\naws_secret_access_key=s3cr3t/+=',
  },
  { what: 'the profile is not there', text: `[other]\n${KEYS}` },
  { what: 'other letters in the name', text: `[Default]\n${KEYS}` },
  { what: 'comments', text: `# one\n; two\n[default] # three\n${KEYS} ; four\n` },
  { what: 'a comment right behind a header', text: `[default]#x\n${KEYS}` },
  { what: '# and ; in a word', text: '[default]\naws_access_key_id=AKID\naws_secret_access_key=a#b;c' },
  { what: 'a comment after a tab', text: `[default]\n${KEYS}\t# words` },
  { what: 'indented lines', text: `  [default]\n  ${KEYS.replace('\n', '\n  ')}` },
  { what: 'a nested block', text: `[default]\n${KEYS}\ns3 =\n  aws_access_key_id = no\nregion = eu-west-1` },
  { what: 'a key in a block of another', text: `[default]\naws_access_key_id =\n  aws_secret_access_key = s3cr3t/+=` },
  { what: 'quotation marks', text: `[default]\naws_access_key_id="AKID"\naws_secret_access_key='s3cr3t/+='` },
  { what: 'half of the quotation marks', text: `[default]\naws_access_key_id="AKID\naws_secret_access_key=s3cr3t` },
  { what: 'capitals', text: '[default]\nAWS_ACCESS_KEY_ID=AKID\nAws_Secret_Access_Key=s3cr3t' },
  { what: 'the last of two values', text: `[default]\naws_access_key_id=old\n${KEYS}` },
  { what: 'a value that a later line empties', text: `[default]\n${KEYS}\naws_access_key_id=` },
  { what: 'half of a pair', text: '[default]\naws_access_key_id=AKID' },
  { what: 'a session token', text: `[default]\n${KEYS}\naws_session_token=t` },
  { what: 'a role with the keys beside it', text: `[default]\n${role('one')}\n${KEYS}` },
  { what: "a role with another profile's keys", text: `[default]\n${role('one')}\nsource_profile=y\n[y]\n${KEYS}` },
  { what: 'a role with its own keys by name', text: `[default]\n${role('one')}\nsource_profile=default\n${KEYS}` },
  { what: 'a role with a web identity', text: `[default]\n${role('one')}\nweb_identity_token_file=TOKENFILE` },
  { what: 'keys before a web identity', text: `[default]\n${role('one')}\nweb_identity_token_file=TOKENFILE\n${KEYS}` },
  { what: 'a role after a role', text: `[default]\n${role('two')}\nsource_profile=y\n[y]\n${role('one')}\n${KEYS}` },
  { what: 'a source without a role', text: `[default]\nsource_profile=y\n[y]\n${KEYS}` },
  { what: 'a source that is not there', text: `[default]\n${role('one')}\nsource_profile=y` },
  { what: 'a token without a role', text: '[default]\nweb_identity_token_file=TOKENFILE' },
  {
    what: 'a source and a token',
    text: `[default]\n${role('one')}\nsource_profile=y\nweb_identity_token_file=TOKENFILE\n[y]\n${KEYS}`,
  },
  { what: 'a role whose code a person types', text: `[default]\n${role('one')}\nmfa_serial=x\n${KEYS}` },
  {
    what: 'a byte order mark',
    text: `\uFEFF[default]\n${KEYS}`,
    differs: { why: 'editors of Windows write one, Go loses the profile', go: undefined, dormouse: TAKEN },
  },
  {
    what: 'a quoted name',
    text: `[profile "backups"]\n${KEYS}`,
    profile: 'backups',
    differs: { why: 'the SDKs for other languages take it', go: undefined, dormouse: TAKEN },
  },
  {
    what: 'an indented stray line',
    text: `[default]\n${KEYS}\n  stray`,
    differs: {
      why: 'Go adds it to the secret, with which nothing can be signed',
      go: `${TAKEN}\nstray`,
      dormouse: TAKEN,
    },
  },
  {
    what: 'one quotation mark as a value',
    text: `[default]\naws_access_key_id=AKID\naws_secret_access_key='`,
    differs: { why: "Go's reader panics", go: undefined, dormouse: "AKID '" },
  },
  {
    what: 'a program',
    text: `[default]\ncredential_process = echo '{"Version":1,"AccessKeyId":"P","SecretAccessKey":"p"}'`,
    differs: { why: 'no program is run for a Secret', go: 'P p', dormouse: undefined },
  },
  {
    what: 'a program beside keys',
    text: `[default]\n${KEYS}\ncredential_process = true`,
    differs: { why: 'a program is refused wherever it stands', go: TAKEN, dormouse: undefined },
  },
]

const NO_LABEL = 'Go takes it with an address of its own, the SDK for JavaScript wants one label of a host name'

export const REGIONS: { region: string; differs?: string }[] = [
  { region: 'us-east-1' },
  { region: 'minio' },
  { region: 'Lab' },
  { region: 'us_east' },
  { region: 'a b' },
  { region: 'a/b' },
  { region: '-a', differs: NO_LABEL },
  { region: 'a-', differs: NO_LABEL },
  { region: 'eu.west', differs: NO_LABEL },
  { region: 'é' },
  { region: 'x'.repeat(63) },
  { region: 'x'.repeat(64) },
]

export const PREFIXES = [
  '',
  '/',
  'velero',
  '/velero/',
  'team//x',
  '//team/./x//',
  'équipe/x',
  'e\u0301quipe',
  '日本/😀',
  ' a b ',
  'a+b',
  '100%',
  '%2F',
  'a?b#c',
  '...',
  'a\\b',
]
