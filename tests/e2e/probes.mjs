// Malformed, ambiguous and hostile inputs, each with the one verdict that is right. The names are those
// of the attacks where they have one. The kinds:
//
//     refuse(name, status, bytes)     a framing error: that answer, then the end. A whole request stands
//                                     behind the bytes, and must not be taken for one.
//     ends(name, status, bytes)       no error, but the last exchange of its connection. What stands
//                                     behind it is ignored.
//     answers(name, statuses, bytes)  one form and one meaning: the connection goes on, and the request
//                                     that stands behind is answered, too.
//     vanishes(name, bytes)           half a message and the end of the input: closed without a word.
//
// Where bytes of a body are not wanted by a route they are read and dropped: /hello takes none.

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n';
const LAST = 'GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n';

export const probes = [];
const names = new Set();

function add(name, bytes, want, more) {
	if (names.has(name))
		throw new Error(`two probes are called ${name}`);
	names.add(name);
	probes.push({ name, bytes, want, ...more });
}

const refuse = (name, status, bytes) => add(name, bytes + SMUGGLED, [status]);
const ends = refuse;
const answers = (name, statuses, bytes, more) => add(name, bytes + LAST, [...statuses, 200], more);
const vanishes = (name, bytes) => add(name, bytes, [], { half: true });

// --- building blocks ---------------------------------------------------------

const line = (requestLine) => `${requestLine}\r\nHost: test\r\n\r\n`;
const target = (text) => line(`GET ${text} HTTP/1.1`);
const fields = (lines, method = 'GET') => `${method} /hello HTTP/1.1\r\nHost: test\r\n${lines}\r\n\r\n`;
const host = (lines) => `GET /hello HTTP/1.1\r\n${lines}\r\n\r\n`;
const length = (value, body = '') => fields(`Content-Length: ${value}`, 'POST') + body;
const coding = (value, body = '0\r\n\r\n') => fields(`Transfer-Encoding: ${value}`, 'POST') + body;
const chunked = (body) => coding('chunked', body);
const x = (count, text = 'x') => text.repeat(count);
const utf8 = (text) => Buffer.from(text).toString('latin1');

// --- request line: shape -----------------------------------------------------

answers('an ordinary request', [200], line('GET /hello HTTP/1.1'));
answers('one empty line before the request', [200], '\r\n' + line('GET /hello HTTP/1.1'));
refuse('two empty lines before the request', 400, '\r\n\r\n' + line('GET /hello HTTP/1.1'));
refuse('a line feed before the request', 400, '\n' + line('GET /hello HTTP/1.1'));
refuse('a carriage return before the request', 400, '\r' + line('GET /hello HTTP/1.1'));
refuse('a space before the method', 400, line(' GET /hello HTTP/1.1'));
refuse('a tab before the method', 400, line('\tGET /hello HTTP/1.1'));
refuse('a NUL before the method', 400, line('\0GET /hello HTTP/1.1'));
refuse('a byte order mark before the method', 400, line('\xef\xbb\xbfGET /hello HTTP/1.1'));
refuse('two spaces before the target', 400, line('GET  /hello HTTP/1.1'));
refuse('two spaces before the version', 400, line('GET /hello  HTTP/1.1'));
refuse('a tab before the target', 400, line('GET\t/hello HTTP/1.1'));
refuse('a tab before the version', 400, line('GET /hello\tHTTP/1.1'));
refuse('a vertical tab as separator', 400, line('GET\x0b/hello HTTP/1.1'));
refuse('a form feed as separator', 400, line('GET /hello\x0cHTTP/1.1'));
refuse('a no-break space as separator', 400, line('GET\xa0/hello HTTP/1.1'));
refuse('a space behind the version', 400, line('GET /hello HTTP/1.1 '));
refuse('a tab behind the version', 400, line('GET /hello HTTP/1.1\t'));
refuse('a word behind the version', 400, line('GET /hello HTTP/1.1 x'));
refuse('a method alone', 400, line('GET'));
refuse('no target', 400, line('GET HTTP/1.1'));
refuse('an empty target', 400, line('GET  HTTP/1.1'));
refuse('HTTP/0.9: a request without version', 400, 'GET /hello\r\n\r\n');

refuse('bare LF ends every line', 400, 'GET /hello HTTP/1.1\nHost: test\n\n');
refuse('bare LF ends the request line', 400, 'GET /hello HTTP/1.1\nHost: test\r\n\r\n');
refuse('bare LF ends a field line', 400, 'GET /hello HTTP/1.1\r\nHost: test\nX: y\r\n\r\n');
refuse('bare LF ends the head', 400, 'GET /hello HTTP/1.1\r\nHost: test\r\n\n');
refuse('bare CR ends the request line', 400, 'GET /hello HTTP/1.1\rHost: test\r\n\r\n');
refuse('bare CR ends a field line', 400, 'GET /hello HTTP/1.1\r\nHost: test\rX: y\r\n\r\n');
refuse('bare CR ends the head', 400, 'GET /hello HTTP/1.1\r\nHost: test\r\n\rX');
refuse('CR CR LF ends a line', 400, 'GET /hello HTTP/1.1\r\r\nHost: test\r\n\r\n');
refuse('LF CR ends a line', 400, 'GET /hello HTTP/1.1\n\rHost: test\n\r\n\r');

// --- request line: version ---------------------------------------------------

for (const version of ['http/1.1', 'HTTP/01.1', 'HTTP/1.01', 'HTTP/1', 'HTTP/1.', 'HTTP/.1', 'HTTP/11', 'HTTP/1.10', 'HTTP/1.1.1', 'HTTP/1,1', 'HTTP/-1.1', 'HTTP/+1.1', 'HTTP/1.x', 'HTTP/0x1.1', 'HTTP 1.1', 'HTTP/ 1.1', 'HTTP /1.1', 'HTTPS/1.1', 'HTP/1.1', 'XHTTP/1.1', 'ICY/1.1', 'HTTP/1.1\0', 'HTTP/\xb2.0'])
	refuse(`version ${JSON.stringify(version)}`, 400, line(`GET /hello ${version}`));
for (const version of ['HTTP/0.9', 'HTTP/2.0', 'HTTP/2.1', 'HTTP/3.0', 'HTTP/9.9'])
	refuse(`version ${version}`, 505, line(`GET /hello ${version}`));
answers('version HTTP/1.2 is read as 1.1', [200], line('GET /hello HTTP/1.2'));
answers('version HTTP/1.9 is read as 1.1', [200], line('GET /hello HTTP/1.9'));
refuse('the preface of HTTP/2 in clear text', 505, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');

// --- request line: method ----------------------------------------------------

for (const method of ['get', 'Get', 'GETT', 'GE', 'FOO', 'PRI', 'M-SEARCH', 'PROPFIND', '!#$%&', '0'])
	refuse(`unknown method ${method}`, 501, line(`${method} /hello HTTP/1.1`));
refuse('a parenthesis in the method', 400, line('GE(T /hello HTTP/1.1'));
refuse('a quoted method', 400, line('"GET" /hello HTTP/1.1'));
refuse('a comma in the method', 400, line('GET,POST /hello HTTP/1.1'));
refuse('a colon in the method', 400, line('GET: /hello HTTP/1.1'));
refuse('a NUL in the method', 400, line('G\0ET /hello HTTP/1.1'));
refuse('a byte over 127 in the method', 400, line('G\xc9T /hello HTTP/1.1'));
refuse('a method of 9000 letters', 400, x(9000, 'A') + ' /hello HTTP/1.1\r\nHost: test\r\n\r\n');
refuse('CONNECT, as to a proxy', 405, 'CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n');
refuse('CONNECT with a path', 405, line('CONNECT /hello HTTP/1.1'));
refuse('TRACE, which would echo cookies', 405, line('TRACE /hello HTTP/1.1'));
for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'QUERY'])
	answers(`${method} where there is only GET`, [405], line(`${method} /hello HTTP/1.1`));
answers('HEAD', [200], line('HEAD /hello HTTP/1.1'), { methods: ['HEAD'] });
answers('HEAD of nothing', [404], line('HEAD /nothing HTTP/1.1'), { methods: ['HEAD'] });
answers('OPTIONS', [204], line('OPTIONS /hello HTTP/1.1'));
answers('OPTIONS of nothing', [404], line('OPTIONS /nothing HTTP/1.1'));
answers('a header that overrides the method', [200], fields('X-HTTP-Method-Override: DELETE'));

// --- other protocols on our port ---------------------------------------------

refuse('TLS: a ClientHello', 400, '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03' + x(64, '\xa5') + '\r\n\r\n');
refuse('SSH: a banner', 400, 'SSH-2.0-OpenSSH_9.2\r\n\r\n');
refuse('SOCKS5: a greeting', 400, '\x05\x01\0\r\n\r\n');
refuse('PROXY protocol, version 1', 400, 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n' + line('GET /hello HTTP/1.1'));
refuse('PROXY protocol, version 2', 400, '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c' + x(12, '\x01'));
refuse('Redis: an inline command', 400, 'SET key value\r\n\r\n');
refuse('Redis: an array', 400, '*1\r\n$4\r\nPING\r\n\r\n');
refuse('SMTP: a greeting', 400, 'EHLO test\r\n\r\n');
refuse('SIP: a request', 400, 'OPTIONS sip:test SIP/2.0\r\n\r\n');
refuse('RTSP: a request', 400, line('OPTIONS * RTSP/1.0'));
refuse('a response instead of a request', 400, 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
refuse('JSON instead of a request', 400, '{"method":"GET"}\r\n\r\n');
refuse('noise', 400, '\x80\x01\xfe\xff\r\n\r\n');

// --- target: form ------------------------------------------------------------

refuse('a target without slash', 400, target('hello'));
refuse('a target with a fragment', 400, target('/hello#part'));
refuse('a space in the target', 400, target('/hel lo'));
refuse('a backslash in the target', 400, target('/\\..\\hello'));
refuse('a tab in the target', 400, target('/hel\tlo'));
refuse('a NUL in the target', 400, target('/hello\0.html'));
refuse('DEL in the target', 400, target('/hello\x7f'));
refuse('a bare CR in the target', 400, target('/hello\rX: y'));
refuse('a bare LF in the target', 400, target('/hello\nX: y'));
refuse('UTF-8 in the target', 400, target(utf8('/grüße')));
refuse('a byte over 127 in the query', 400, target('/hello?\xff'));
refuse('a quotation mark in the target', 400, target('/hello?"'));
refuse('angle brackets in the target', 400, target('/<script>'));
refuse('GET *', 400, target('*'));
answers('OPTIONS *', [204], line('OPTIONS * HTTP/1.1'));
refuse('OPTIONS **', 400, line('OPTIONS ** HTTP/1.1'));
refuse('authority-form with GET', 400, target('test:80'));
refuse('target of 9000 bytes', 414, target('/' + x(9000, 'a')));
refuse('request line that never ends', 414, 'GET /' + x(40000, 'a'));
answers('target of 8000 bytes', [404], target('/' + x(8000, 'a')));
answers('query of 8000 bytes', [200], target('/hello?' + x(8000, 'a')));

answers('absolute-form', [200], target('http://test/hello'));
answers('absolute-form, other case', [200], target('HTTP://TEST/hello'));
answers('absolute-form with the default port', [200], target('http://test:80/hello'));
answers('absolute-form with https', [200], target('https://test/hello'));
answers('absolute-form without path', [404], target('http://test'));
refuse('absolute-form with another host', 400, target('http://other/hello'));
refuse('absolute-form with another port', 400, target('http://test:8080/hello'));
refuse('absolute-form with userinfo', 400, target('http://user:pass@test/hello'));
refuse('absolute-form without host', 400, target('http:///hello'));
refuse('absolute-form with one slash', 400, target('http:/test/hello'));
refuse('absolute-form of ftp', 400, target('ftp://test/hello'));
refuse('absolute-form of file', 400, target('file:///etc/passwd'));
refuse('absolute-form of javascript', 400, target('javascript:alert(1)'));
refuse('absolute-form that hides its host behind a fragment', 400, target('http://test#@other/hello'));
refuse('absolute-form in 1.1 without Host', 400, 'GET http://test/hello HTTP/1.1\r\n\r\n');

// --- target: path ------------------------------------------------------------
// A path that is malformed is no framing error: where it ends is clear.

for (const path of ['/.', '/..', '/./hello', '/hello/.', '/hello/..', '/../../etc/passwd', '/a/../hello', '/%2e%2e/etc/passwd', '/%2E/hello', '/.%2e/hello', '/..%2f..%2fetc', '/a%2f..%2fhello', '/%5c..%5chello', '/hello%00', '/%00', '/hello%0d%0aX:%20y', '/%0a', '/%7f', '/%1b[2J', '/%', '/%4', '/%zz', '/%u0041', '/%c0%ae%c0%ae/hello', '/%c0%af', '/%ff', '/%ed%a0%80', '/%f4%90%80%80', '/%e2%82', x(65, '/a')])
	answers(`path ${path.length > 40 ? 'of 65 segments' : path}`, [400], target(path));
for (const path of ['/', '//hello', '/hello/', '/HELLO', '/hello;a=b', '/hello%2f', '/hello%20', '/hello%3f', '/%252e%252e/etc/passwd', '/...', '/.hello', '/%e2%82%ac', '/hello.', '/{}|^`', '/.git/config', '/.env', '/hello:80', "/'--", '/' + x(64, 'a/').slice(0, -1)])
	answers(`path ${path.length > 40 ? 'of 64 segments' : path}`, [404], target(path));
for (const path of ['/hell%6f', '/%68%65%6c%6c%6f', '/hello?', '/hello?/../..', '/hello?a=%00', '/hello?%zz', '/hello??#'.slice(0, -1)])
	answers(`path ${path}`, [200], target(path));

// --- fields: names -----------------------------------------------------------

refuse('a space before the colon', 400, fields('X : y'));
refuse('a tab before the colon', 400, fields('X\t: y'));
refuse('a space before the colon of Host', 400, host('Host : test'));
refuse('a space before the colon of Content-Length', 400, fields('Content-Length : 5', 'POST') + 'hello');
refuse('a space before the colon of Transfer-Encoding', 400, fields('Transfer-Encoding : chunked', 'POST') + '0\r\n\r\n');
refuse('obs-fold with a space', 400, fields('X: y\r\n z'));
refuse('obs-fold with a tab', 400, fields('X: y\r\n\tz'));
refuse('obs-fold of nothing', 400, fields('X: y\r\n '));
refuse('obs-fold right behind the request line', 400, 'GET /hello HTTP/1.1\r\n Host: test\r\n\r\n');
refuse('obs-fold in Host', 400, host('Host:\r\n test'));
refuse('obs-fold in Content-Length', 400, fields('Content-Length:\r\n 5', 'POST') + 'hello');
refuse('obs-fold in Transfer-Encoding', 400, fields('Transfer-Encoding:\r\n chunked', 'POST') + '0\r\n\r\n');
refuse('a field without colon', 400, fields('X'));
refuse('a field without name (CVE-2023-25725)', 400, fields(': y'));
refuse('a field of a colon alone', 400, fields(':'));
refuse('a space in a field name', 400, fields('X Y: z'));
refuse('a NUL in a field name', 400, fields('X\0: y'));
refuse('a NUL before a field name', 400, fields('\0Transfer-Encoding: chunked'));
refuse('a byte over 127 in a field name', 400, fields('X\xe9: y'));
refuse('a vertical tab before a field name', 400, fields('\x0bX: y'));
for (const byte of '()<>@,;\\"/[]?={}')
	refuse(`${byte} in a field name`, 400, fields(`X${byte}Y: z`));
refuse('Content_Length, which a gateway may rewrite', 400, fields('Content_Length: 5', 'POST') + 'hello');
refuse('TRANSFER_ENCODING, which a gateway may rewrite', 400, fields('TRANSFER_ENCODING: chunked', 'POST') + '0\r\n\r\n');
answers('a name that only starts like Content-Length', [200], fields('Content-LengthX: 5'));
answers('a name that only ends like Transfer-Encoding', [200], fields('X-Transfer-Encoding: chunked'));
answers('every byte that a name may have', [200], fields("!#$%&'*+-.^_`|~09azAZ: y"));

// --- fields: values ----------------------------------------------------------

for (const [what, byte] of [['NUL (CVE-2024-52530)', '\0'], ['a bare CR', '\r'], ['a bare LF', '\n'], ['a vertical tab', '\x0b'], ['a form feed', '\x0c'], ['a bell', '\x07'], ['an escape', '\x1b'], ['DEL', '\x7f'], ['a backspace', '\b']])
	refuse(`${what} in a value`, 400, fields(`X: y${byte}z`));
answers('an empty value', [200], fields('X:'));
answers('a value of white space', [200], fields('X: \t '));
answers('a tab in a value', [200], fields('X: y\tz'));
answers('bytes over 127 in a value', [200], fields('X: \x80\xff\xc0'));
answers('no space behind the colon', [200], 'GET /hello HTTP/1.1\r\nHost:test\r\nX:y\r\n\r\n');
answers('Cookie in two lines', [200], fields('Cookie: a=b\r\nCookie: c=d'));
answers('Cookie without a name', [200], fields('Cookie: =; ;;= ='));
answers('Cookie of 7000 bytes', [200], fields('Cookie: a=' + x(7000)));
refuse('a NUL in a Cookie', 400, fields('Cookie: a=\0b'));
refuse('a field line of 9000 bytes', 431, fields('X: ' + x(9000)));
refuse('a field line that never ends', 431, 'GET /hello HTTP/1.1\r\nHost: test\r\nX: ' + x(40000));
refuse('a head of 40 KB in short lines', 431, fields(x(80, `X: ${x(494)}\r\n`) + 'Y: z'));
refuse('101 fields', 431, fields(x(99, 'X: y\r\n') + 'Y: z'));
answers('100 fields', [200], fields(x(98, 'X: y\r\n') + 'Y: z'));
refuse('10,000 fields', 431, fields(x(9999, 'X:\r\n') + 'Y: z'));
for (const field of ['Content-Type: text/plain', 'Authorization: Bearer x', 'Origin: http://test', 'If-Modified-Since: x', 'X-Api-Key: x'])
	refuse(`${field.split(':')[0]} twice`, 400, fields(`${field}\r\n${field}`));

// --- Host --------------------------------------------------------------------

refuse('no Host in 1.1', 400, 'GET /hello HTTP/1.1\r\n\r\n');
refuse('no Host but a Hosts', 400, host('Hosts: test'));
refuse('two Hosts', 400, host('Host: test\r\nHost: other'));
refuse('the same Host twice (CVE-2025-14523)', 400, host('Host: test\r\nHost: test'));
refuse('Host and HOST', 400, host('Host: test\r\nHOST: test'));
for (const value of ['', ' ', ':', ':80', 'a b', 'a,b', 'a, b', 'a/b', 'a?b', 'a#b', 'user@a', 'user:pass@a', 'http://a', 'a:', 'a:0', 'a:65536', 'a:99999999999', 'a:-1', 'a:+80', 'a:080', 'a:80a', 'a:80:80', 'a: 80', 'a :80', 'a..b', '.a', '[::1', '::1', '[]', '[zz]', '[::1]a', '[::1]:', '[::1%25eth0]', '[::1]:80:80', 'a%00', 'a%2eb', 'a\\b', '"a"', 'a\tb', utf8('bücher'), '\xff', 'a\0', '<a>', 'a;b', 'a=b', x(256)])
	refuse(`Host ${value.length > 40 ? 'of 256 bytes' : JSON.stringify(value)}`, 400, host(`Host: ${value}`));
for (const value of ['a', 'A.B', 'a.', 'a_b', 'a:1', 'a:65535', '127.0.0.1:8080', '[::1]', '[::1]:80', '[::ffff:127.0.0.1]', 'xn--bcher-kva', x(127, 'a.') + 'a'])
	answers(`Host ${value.length > 40 ? 'of 255 bytes' : JSON.stringify(value)}`, [200], host(`Host: ${value}`));

// --- Content-Length ----------------------------------------------------------

answers('POST with a body', [405], length(5, 'hello'));
answers('POST with an empty body', [405], length(0));
answers('GET with a body', [200], fields('Content-Length: 5') + 'hello');
answers('HEAD with a body', [200], fields('Content-Length: 5', 'HEAD') + 'hello', { methods: ['HEAD'] });
answers('DELETE with a body', [405], fields('Content-Length: 5', 'DELETE') + 'hello');
answers('OPTIONS with a body', [204], fields('Content-Length: 5', 'OPTIONS') + 'hello');
answers('a body that looks like a request', [200], fields(`Content-Length: ${SMUGGLED.length}`) + SMUGGLED);
answers('a body that looks like a request, to nothing', [404], `POST /nothing HTTP/1.1\r\nHost: test\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`);
answers('a body of 60 KB', [405], length(60000, x(60000)));
for (const value of ['', ' ', '+5', '-5', '-0', '0x5', '5x', 'x', '5 5', '5,5', '5, 5', '5,', ',5', '05', '00', '5.0', '5e0', '5_0', '"5"', '5;', '5\t5', '5\x0b', '5\0', '\x0c5', '\xb2', utf8('٥'), 'NaN', '184467440737095516160', '18446744073709551616', x(400, '9'), x(400, '0') + '5'])
	refuse(`Content-Length ${value.length > 40 ? `of 400 ${value[0]}` : JSON.stringify(value)}`, 400, length(value, 'hello'));
refuse('Content-Length 2^64 - 1', 413, length('18446744073709551615', 'hello'));
refuse('Content-Length 2^63', 413, length('9223372036854775808', 'hello'));
ends('Content-Length 2^31', 405, length('2147483648', 'hello'));
ends('Content-Length over what the route takes', 413, fields('Content-Length: 2000000') + 'hello');
refuse('Content-Length twice, equal', 400, fields('Content-Length: 5\r\nContent-Length: 5', 'POST') + 'hello');
refuse('Content-Length twice, CL.CL', 400, fields('Content-Length: 5\r\nContent-Length: 0', 'POST') + 'hello');
refuse('Content-Length twice, with another between', 400, fields('Content-Length: 0\r\nX: y\r\ncontent-length: 5', 'POST') + 'hello');

// --- Transfer-Encoding -------------------------------------------------------

answers('POST in chunks', [405], chunked('5\r\nhello\r\n0\r\n\r\n'));
answers('GET in chunks', [200], fields('Transfer-Encoding: chunked') + '5\r\nhello\r\n0\r\n\r\n');
answers('HEAD in chunks', [200], fields('Transfer-Encoding: chunked', 'HEAD') + '5\r\nhello\r\n0\r\n\r\n', { methods: ['HEAD'] });
answers('an empty body in chunks, to nothing', [404], 'POST /nothing HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
answers('an empty body in chunks, to all', [204], 'OPTIONS * HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
answers('Transfer-Encoding: Chunked', [405], coding('Chunked'));
answers('Transfer-Encoding: chunked with white space around', [405], coding(' \tchunked\t '));
answers('a chunk that looks like a request', [405], chunked(`${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`));
for (const value of ['', ' ', 'identity', 'gzip', 'xchunked', 'chunkedx', 'chunk', 'chun ked', 'x chunked', 'chunked x', '"chunked"', "'chunked'", 'chunked;q=1', 'chunked;', ';chunked', 'chunked, identity', 'chunked, gzip', 'chunked, chunked', 'chunked,chunked,chunked', 'gzip, chunked, chunked', ', chunked', 'chunked,', 'chunked\0', '\0chunked', 'chunked\x0b', '\x0bchunked', '\x0cchunked', 'chunked\x7f', 'chunked\xa0', 'c\xc4\xb1unked', '(chunked)', 'cow'])
	refuse(`Transfer-Encoding ${JSON.stringify(value)}`, 400, coding(value));
for (const value of ['gzip, chunked', 'identity, chunked', 'cow, chunked', 'gzip;level=1, chunked'])
	refuse(`Transfer-Encoding ${JSON.stringify(value)}`, 501, coding(value));
refuse('CL.TE', 400, fields('Content-Length: 5\r\nTransfer-Encoding: chunked', 'POST') + '0\r\n\r\n');
refuse('TE.CL', 400, fields('Transfer-Encoding: chunked\r\nContent-Length: 5', 'POST') + '0\r\n\r\n');
refuse('CL.TE with GET', 400, fields('Content-Length: 5\r\nTransfer-Encoding: chunked') + '0\r\n\r\n');
refuse('CL.0: a length of zero beside chunks', 400, fields('Content-Length: 0\r\nTransfer-Encoding: chunked', 'POST') + '0\r\n\r\n');
refuse('TE.TE: chunked twice', 400, fields('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', 'POST') + '0\r\n\r\n');
refuse('TE.TE: chunked, then identity', 400, fields('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', 'POST') + '0\r\n\r\n');
refuse('TE.TE: identity, then chunked', 400, fields('Transfer-Encoding: identity\r\ntransfer-encoding: chunked', 'POST') + '0\r\n\r\n');
refuse('Transfer-Encoding in HTTP/1.0', 400, 'POST /hello HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
refuse('Transfer-Encoding and Content-Length in HTTP/1.0', 400, 'POST /hello HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
answers('TE: chunked is about the answer', [200], fields('TE: chunked\r\nConnection: TE'));

// --- chunks ------------------------------------------------------------------

answers('chunk size in upper case', [405], chunked(`A\r\n${x(10)}\r\n0\r\n\r\n`));
answers('chunk size with leading zeros', [405], chunked('00000005\r\nhello\r\n00000000\r\n\r\n'));
answers('a hundred chunks of one byte', [405], chunked(x(100, '1\r\nx\r\n') + '0\r\n\r\n'));
answers('chunk extensions', [405], chunked('5;a;b=c;d="e;\\"f"\r\nhello\r\n0;g\r\n\r\n'));
answers('trailers, even those that frame', [405], chunked('0\r\nX: y\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: other\r\n\r\n'));
for (const size of ['', ' ', ' 5', '5 ', '5\t', '\t5', '0x5', '0X5', '+5', '-5', '5h', 'g', '5_0', '5.0', '5,5', '"5"', '\xb2', '5\0', '\0', '000000005', '100000005', '10000000000000005', 'FFFFFFFFFFFFFFFF', x(100, '0') + '5'])
	refuse(`chunk size ${size.length > 40 ? 'of 101 digits' : JSON.stringify(size)}`, 400, chunked(`${size}\r\nhello\r\n0\r\n\r\n`));
ends('a chunk over what the route takes', 405, chunked('FFFFFFFF\r\nhello'));
for (const extension of [';', ' ;a', '; a', ';a ', ';a =b', ';a= b', ';a=', ';=b', ';a;', ';a=b;', ';;a', ';a="b', ';a="b"c', ';a=(b)', ';a,b', ',a', ' a=b', ';a\0', ';a="\x01"', ';\xe9', ';a=\x0b'])
	refuse(`chunk extension ${JSON.stringify(extension)}`, 400, chunked(`5${extension}\r\nhello\r\n0\r\n\r\n`));
refuse('a chunk extension of 300 bytes', 431, chunked(`5;a=${x(300)}\r\nhello\r\n0\r\n\r\n`));
refuse('one-byte chunks with long extensions', 431, chunked(x(100, `1;a=${x(200)}\r\nx\r\n`) + '0\r\n\r\n'));
refuse('bare LF behind a chunk size (TERM.LF)', 400, chunked('5\nhello\r\n0\r\n\r\n'));
refuse('bare CR behind a chunk size', 400, chunked('5\rhello\r\n0\r\n\r\n'));
refuse('bare LF behind chunk data', 400, chunked('5\r\nhello\n0\r\n\r\n'));
refuse('bare CR behind chunk data', 400, chunked('5\r\nhello\r0\r\n\r\n'));
refuse('nothing behind chunk data', 400, chunked('5\r\nhello0\r\n\r\n'));
refuse('two bytes that are no CRLF behind chunk data (TERM.SPILL)', 400, chunked('5\r\nhelloXX0\r\n\r\n'));
refuse('more data than the chunk size says', 400, chunked('5\r\nhello world\r\n0\r\n\r\n'));
refuse('less data than the chunk size says', 400, chunked('5\r\nhel\r\n0\r\n\r\n'));
refuse('bare LF in a chunk extension (TERM.EXT)', 400, chunked('5;a\nhello\r\n0\r\n\r\n'));
refuse('bare CR in a chunk extension', 400, chunked('5;a\rX\r\nhello\r\n0\r\n\r\n'));
refuse('a line feed in a quoted chunk extension', 400, chunked('5;a="\n"\r\nhello\r\n0\r\n\r\n'));
refuse('CR CR LF behind a chunk size', 400, chunked('5\r\r\nhello\r\n0\r\n\r\n'));
refuse('bare LF behind the last chunk', 400, chunked('0\n\n'));
refuse('bare LF behind the trailers', 400, chunked('0\r\n\n'));
refuse('bare LF behind a trailer', 400, chunked('0\r\nX: y\n\r\n'));
refuse('bare CR behind the last chunk', 400, chunked('0\r\n\rX'));
refuse('a last chunk without an empty line', 400, chunked('0\r\n'));
refuse('a trailer without colon', 400, chunked('0\r\nX\r\n\r\n'));
refuse('a trailer without name', 400, chunked('0\r\n: y\r\n\r\n'));
refuse('a space before the colon of a trailer', 400, chunked('0\r\nX : y\r\n\r\n'));
refuse('obs-fold in a trailer', 400, chunked('0\r\nX: y\r\n z\r\n\r\n'));
refuse('a NUL in a trailer', 400, chunked('0\r\nX: \0\r\n\r\n'));
refuse('101 trailers', 431, chunked('0\r\n' + x(101, 'X: y\r\n') + '\r\n'));
refuse('a trailer of 9000 bytes', 431, chunked(`0\r\nX: ${x(9000)}\r\n\r\n`));

// A handler that asks for no body has answered before the body is looked at.
ends('a bad chunk behind a request that is done', 200, fields('Transfer-Encoding: chunked') + '0x5\r\nhello\r\n0\r\n\r\n');

// --- Connection, Expect, Upgrade ---------------------------------------------

ends('Connection: close', 200, fields('Connection: close'));
ends('Connection: CLOSE', 200, fields('Connection: CLOSE'));
ends('Connection: keep-alive, close', 200, fields('Connection: keep-alive, close'));
ends('Connection in two lines, one closes', 200, fields('Connection: keep-alive\r\nConnection: close'));
answers('Connection: keep-alive', [200], fields('Connection: keep-alive'));
answers('Connection that is no list of sense', [200], fields('Connection: , ,closed,'));
for (const name of ['Content-Length', 'Transfer-Encoding', 'Host', 'Authorization', 'Cookie'])
	refuse(`Connection: ${name}, to have it taken off`, 400, fields(`Connection: ${name}`));
refuse('Connection: close, Content-Length', 400, fields('Connection: close, Content-Length\r\nContent-Length: 5', 'POST') + 'hello');
refuse('Connection with a quoted member', 400, fields('Connection: "close"'));
refuse('Connection with 17 members', 400, fields('Connection: ' + Array.from({ length: 17 }, (_, i) => `x${i}`).join(', ')));
ends('Expect: 100-continue where the body is not wanted', 405, fields('Expect: 100-continue\r\nContent-Length: 5', 'POST'));
answers('Expect: 100-continue without a body', [200], fields('Expect: 100-continue'));
refuse('Expect: something else', 417, fields('Expect: 200-ok'));
refuse('Expect: nothing', 417, fields('Expect:'));
refuse('Expect twice', 400, fields('Expect: 100-continue\r\nExpect: 100-continue'));
answers('Upgrade: h2c is ignored', [200], fields('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__'));
answers('Upgrade: websocket where there is none', [200], fields('Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='));
refuse('Sec-WebSocket-Key twice', 400, fields('Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a'));

// --- HTTP/1.0 ----------------------------------------------------------------

ends('HTTP/1.0', 200, 'GET /hello HTTP/1.0\r\n\r\n');
ends('HTTP/1.0 with Connection: close', 200, 'GET /hello HTTP/1.0\r\nConnection: close\r\n\r\n');
answers('HTTP/1.0 with Connection: keep-alive', [200], 'GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
answers('HTTP/1.0 with a body', [405], 'POST /hello HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello');
answers('HTTP/1.0 with an expectation', [405], 'POST /hello HTTP/1.0\r\nConnection: keep-alive\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello');
refuse('HTTP/1.0 with two Hosts', 400, 'GET /hello HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n');
refuse('HTTP/1.0 with a malformed Host', 400, 'GET /hello HTTP/1.0\r\nHost: a/b\r\n\r\n');

// --- the input ends ----------------------------------------------------------

vanishes('nothing at all', '');
vanishes('an empty line and the end', '\r\n');
vanishes('half a method and the end', 'GE');
vanishes('half a request line and the end', 'GET /hello HTTP/1.1');
vanishes('half a head and the end', 'GET /hello HTTP/1.1\r\nHost: test\r\n');
vanishes('a head but for its last byte, and the end', 'GET /hello HTTP/1.1\r\nHost: test\r\n\r');
add('a whole request and the end', line('GET /hello HTTP/1.1'), [200], { half: true, open: true });
add('two requests and the end', x(2, line('GET /hello HTTP/1.1')), [200, 200], { half: true, open: true });
add('half a body and the end', length(5, 'hel'), [405], { half: true });
add('half a chunk and the end', chunked('5\r\nhel'), [405], { half: true });
add('half a chunk size and the end', chunked('5'), [405], { half: true });
