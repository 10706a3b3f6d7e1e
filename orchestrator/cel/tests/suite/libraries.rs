//! Kubernetes' libraries: sets, patterns, URLs, quantities, addresses, formats, versions.

use wherry_cel::Env;

use crate::common::{fail, hold};

#[test]
fn sets_compare() {
    hold(
        &Env::kubernetes(),
        "
        sets.contains([1, 2, 3], [3, 1]) && !sets.contains([1], [2]) && sets.contains([], []) && sets.contains([1], [])
        sets.equivalent([1, 2, 2], [2, 1]) && !sets.equivalent([1], [1, 2]) && sets.equivalent([], [])
        sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [2]) && !sets.intersects([], [])
        ",
    );
}

#[test]
fn patterns_find() {
    hold(
        &Env::kubernetes(),
        r"
        'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''
        '123 abc 456'.findAll('[0-9]+') == ['123', '456'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']
        '1 2 3'.findAll('[0-9]', 0) == [] && 'abc'.findAll('[0-9]') == [] && '1 2'.findAll('[0-9]', -1).size() == 2
        ",
    );
    fail(
        &Env::kubernetes(),
        &[("'a'.find('[') == ''", "Illegal regex: error parsing regexp: invalid pattern: `[`")],
    );
}

#[test]
fn urls_are_taken_apart() {
    hold(
        &Env::kubernetes(),
        "
        isURL('https://example.com:80/') && isURL('/path') && !isURL('../relative') && !isURL('https://a:b:c/') && !isURL('')
        url('https://example.com:80/').getHost() == 'example.com:80' && url('https://example.com/').getHost() == 'example.com'
        url('https://[::1]:80/').getHost() == '[::1]:80' && url('https://[::1]:80/').getHostname() == '::1'
        url('/path').getHost() == '' && url('/path').getScheme() == '' && url('https://a/').getScheme() == 'https'
        url('https://example.com:80/').getPort() == '80' && url('https://example.com/').getPort() == ''
        url('https://example.com/path').getEscapedPath() == '/path' && url('https://example.com').getEscapedPath() == ''
        url('https://example.com/path with spaces/').getEscapedPath() == '/path%20with%20spaces/'
        url('https://example.com/a%2Fb').getEscapedPath() == '/a%2Fb'
        url('https://example.com/path?k1=a&k2=b&k2=c').getQuery() == {'k1': ['a'], 'k2': ['b', 'c']}
        url('https://example.com/path?key with spaces=value+x').getQuery() == {'key with spaces': ['value x']}
        url('https://example.com/path?').getQuery() == {} && url('https://a/b#c').getEscapedPath() == '/b'
        url('https://a/b') == url('https://a/b') && url('https://a/b') != url('https://a/c')
        ",
    );
    fail(
        &Env::kubernetes(),
        &[(
            "url('../x') == url('/x')",
            "URL parse error during conversion from string: parse \"../x\": invalid URI for request",
        )],
    );
}

#[test]
fn quantities_calculate() {
    hold(
        &Env::kubernetes(),
        "
        isQuantity('1.3G') && isQuantity('1.3Gi') && isQuantity('10000k') && !isQuantity('1,3G') && !isQuantity('200K') && !isQuantity('Mi')
        quantity('50000000G').isInteger() && quantity('50k').asInteger() == 50000 && !quantity('0.5').isInteger()
        !quantity('9999999999999999999999999999999999999G').isInteger()
        quantity('50.703k').asApproximateFloat() == 50703.0 && quantity('100m').asApproximateFloat() == 0.1
        quantity('50k').add(quantity('20k')) == quantity('70k') && quantity('50k').add(20) == quantity('50020')
        quantity('50k').sub(quantity('20k')) == quantity('30k') && quantity('50k').sub(20000) == quantity('30k')
        quantity('200M').compareTo(quantity('0.2G')) == 0 && quantity('50M').compareTo(quantity('50Mi')) == -1
        quantity('150Mi').isGreaterThan(quantity('100Mi')) && quantity('50M').isLessThan(quantity('100M'))
        sign(quantity('-1k')) == -1 && sign(quantity('0')) == 0 && sign(quantity('1m')) == 1
        type(quantity('1')) == kubernetes.Quantity
        ",
    );
    fail(
        &Env::kubernetes(),
        &[
            ("quantity('0.5').asInteger() == 1", "cannot convert value to integer"),
            (
                "quantity('10 pizza') == quantity('1')",
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
        ],
    );
}

#[test]
fn addresses_and_ranges_are_told() {
    hold(
        &Env::kubernetes(),
        "
        isIP('127.0.0.1') && isIP('::1') && !isIP('127.0.0.256') && !isIP(':::1') && !isIP('01.2.3.4') && !isIP('::ffff:1.2.3.4')
        ip.isCanonical('127.0.0.1') && ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')
        ip('127.0.0.1').family() == 4 && ip('::1').family() == 6 && string(ip('::1')) == '::1'
        ip('0.0.0.0').isUnspecified() && ip('::').isUnspecified() && !ip('::1').isUnspecified()
        ip('127.0.0.1').isLoopback() && ip('::1').isLoopback() && !ip('2001:db8::abcd').isLoopback()
        ip('224.0.0.1').isLinkLocalMulticast() && !ip('224.0.1.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()
        ip('169.254.169.254').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast() && !ip('fd80::1').isLinkLocalUnicast()
        ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast() && !ip('ff00::1').isGlobalUnicast()
        isCIDR('192.168.0.0/16') && isCIDR('::1/128') && !isCIDR('192.168.0.0/33') && !isCIDR('::1/129') && !isCIDR('1.2.3.4/01')
        cidr('192.168.0.0/24').containsIP(ip('192.168.0.1')) && !cidr('192.168.0.0/24').containsIP('192.168.1.1')
        cidr('192.168.0.0/16').containsCIDR(cidr('192.168.10.0/24')) && !cidr('192.168.1.0/24').containsCIDR('192.168.2.0/24')
        !cidr('192.168.0.0/24').containsCIDR('192.168.0.0/16') && cidr('0.0.0.0/0').containsIP('1.2.3.4')
        cidr('192.168.0.1/24').ip() == ip('192.168.0.1') && cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24')
        cidr('192.168.0.1/24') != cidr('192.168.0.1/24').masked() && string(cidr('::/0')) == '::/0' && cidr('::/0').prefixLength() == 0
        type(ip('::1')) == net.IP && type(cidr('::1/1')) == net.CIDR
        ",
    );
    fail(
        &Env::kubernetes(),
        &[
            (
                "ip('::ffff:1.2.3.4') == ip('::1')",
                "IPv4-mapped IPv6 address \"::ffff:1.2.3.4\" is not allowed",
            ),
            ("ip('fe80::1%eth0') == ip('::1')", "IP address \"fe80::1%eth0\" with zone value is not allowed"),
        ],
    );
}

#[test]
fn formats_validate() {
    hold(
        &Env::kubernetes(),
        "
        !format.dns1123Label().validate('my-label-name').hasValue() && format.dns1123Label().validate('a.b').hasValue()
        !format.dns1123Subdomain().validate('apiextensions.k8s.io').hasValue() && !format.dns1035Label().validate('a-1').hasValue()
        !format.qualifiedName().validate('apiextensions.k8s.io/v1beta1').hasValue() && format.labelValue().validate('-').hasValue()
        !format.dns1123LabelPrefix().validate('my-label-prefix-').hasValue() && format.dns1123Label().validate('a-').hasValue()
        !format.dns1123SubdomainPrefix().validate('mysubdomain.prefix-').hasValue() && !format.dns1035LabelPrefix().validate('a-').hasValue()
        !format.uri().validate('http://example.com').hasValue() && !format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()
        !format.byte().validate('aGVsbG8=').hasValue() && format.byte().validate('%').value() == ['invalid base64']
        !format.date().validate('2021-01-01').hasValue() && !format.datetime().validate('2021-01-01T00:00:00Z').hasValue()
        format.uuid().validate('x').value() == ['does not match the UUID format'] && format.date().validate('x').value() == ['invalid date']
        format.named('dns1123Label').value() == format.dns1123Label() && !format.named('nope').hasValue()
        ",
    );
}

#[test]
fn versions_compare() {
    hold(
        &Env::kubernetes(),
        "
        isSemver('1.0.0') && isSemver('0.1.0-alpha.1+b.7') && !isSemver('hello') && !isSemver('v1.0.0') && !isSemver('1.0') && !isSemver('01.1.1')
        isSemver('v1.0', true) && isSemver('01.01.01', true) && !isSemver('1.0-a', true) && !isSemver('1.0.0', false) == false
        semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3
        semver('1.2.3').compareTo(semver('1.2.3')) == 0 && semver('1.2.3').compareTo(semver('2.0.0')) == -1
        semver('1.0.0').isGreaterThan(semver('1.0.0-rc.1')) && semver('1.0.0-rc.2').isLessThan(semver('1.0.0-rc.10'))
        semver('1.0.0-1').isLessThan(semver('1.0.0-a')) && semver('v1.2', true) == semver('1.2.0') && semver('1.0.0+a') == semver('1.0.0+b')
        ",
    );
    fail(&Env::kubernetes(), &[("semver('1') == semver('1.0.0')", "No Major.Minor.Patch elements found")]);
}

#[test]
fn keys_of_patches_are_escaped() {
    hold(&Env::mutations(), "jsonpatch.escapeKey('k8s.io/my~label') == 'k8s.io~1my~0label'");
    assert!(Env::kubernetes().compile("jsonpatch.escapeKey('a')").is_err());
}
