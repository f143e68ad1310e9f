module dormouse.test/tools/gonet

go 1.25.0
